"""Another name for a study."""

from sqlalchemy import Connection, delete, select, update

from storage.attributes import LAUNCH, SPEC, attribute, declared_studies, set_attributes
from storage.database import Database
from storage.declare import check_free, check_names
from storage.delete import delete_studies
from storage.errors import OtherStudyError
from storage.schema import OWN_TABLE


def rename_study(connection: Connection, database: Database, study: str, new: str) -> None:
    """Give a stored study another name, see `storage.store.Store.rename`. The caller holds the lock of all."""
    tables = database.tables
    studies, attributes = tables["studies"], tables["study_user_attributes"]
    declared = declared_studies(connection, tables)
    check_names(new, declared[study])
    if new in declared:
        raise OtherStudyError(f"{database.name} has a study {new!r} already: give another name")
    names = [f"{new}/{optimizer}" for optimizer in declared[study]]
    check_free(connection, database, names)
    left = select(studies.c.study_id).where(studies.c.study_name.in_(names))  # without trials
    delete_studies(connection, OWN_TABLE, connection.scalars(left).all())
    for optimizer, study_id in declared[study].items():
        here = studies.c.study_id == study_id
        connection.execute(update(studies).where(here).values(study_name=f"{new}/{optimizer}"))
        spec = attribute(connection, tables, study_id, SPEC)
        if "name" in spec:
            set_attributes(connection, tables, study_id, {SPEC: {**spec, "name": new}})
        kept = (attributes.c.study_id == study_id) & (attributes.c.key == LAUNCH)
        connection.execute(delete(attributes).where(kept))
