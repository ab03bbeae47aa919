"""Training code that is no optimizer's: gradient boosting on a real table, as `gradient-boosting.toml` studies it."""

from collections.abc import Mapping

from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split


def train(hyperparameters: Mapping[str, float], optimizer: str, seed: int) -> dict[str, float]:
    """Validation loss and error after 50 trees; `optimizer` is the study's label, and the seed draws the split."""
    del optimizer
    data = train_test_split(*load_breast_cancer(return_X_y=True), test_size=0.4, random_state=seed)
    x, x_validation, y, y_validation = data
    model = HistGradientBoostingClassifier(
        learning_rate=hyperparameters["learning_rate"],
        max_leaf_nodes=int(hyperparameters["max_leaf_nodes"]),
        l2_regularization=hyperparameters["l2"],
        max_iter=50,
        early_stopping=False,
        random_state=seed,
    ).fit(x, y)
    return {
        "val_loss": float(log_loss(y_validation, model.predict_proba(x_validation))),
        "val_error": 1 - model.score(x_validation, y_validation),
    }
