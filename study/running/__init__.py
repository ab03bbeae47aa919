"""Running a study: what is missing is planned as blocks, trained through Ray, stored, and replayed by tuners."""
