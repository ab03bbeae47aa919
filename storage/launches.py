"""What is kept about running studies, for who launches them: an attribute of a study's first optimizer, JSON."""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Table, insert, select, update

from storage.attributes import LAUNCH


def read_launches(connection: Connection, tables: Mapping[str, Table]) -> dict[str, dict[str, Any]]:
    """What is kept, by study."""
    studies, attributes = tables["studies"], tables["study_user_attributes"]
    rows = connection.execute(
        select(studies.c.study_name, attributes.c.value_json)
        .join(attributes, attributes.c.study_id == studies.c.study_id)
        .where(attributes.c.key == LAUNCH)
    )
    return {name.partition("/")[0]: json.loads(text) for name, text in rows}


def change_launch(
    connection: Connection, tables: Mapping[str, Table], study_id: int, changes: Mapping[str, Any]
) -> dict[str, Any]:
    """Change entries of what is kept with a study, and return all of them."""
    studies, attributes = tables["studies"], tables["study_user_attributes"]
    connection.execute(select(studies.c.study_id).where(studies.c.study_id == study_id).with_for_update())
    here = (attributes.c.study_id == study_id) & (attributes.c.key == LAUNCH)
    text = connection.scalar(select(attributes.c.value_json).where(here))
    launch: dict[str, Any] = {**(json.loads(text) if text else {}), **changes}
    stored = json.dumps(launch, allow_nan=False)
    if text is None:
        connection.execute(insert(attributes).values(study_id=study_id, key=LAUNCH, value_json=stored))
    else:
        connection.execute(update(attributes).where(here).values(value_json=stored))
    return launch
