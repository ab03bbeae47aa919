"""What is at which address: the API and its description, the dashboard's pages, optuna-dashboard."""
