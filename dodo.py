"""The commands of this workspace; `doit list` shows them."""

from hsm_tasks.door import DOIT_CONFIG, hsm  # noqa: F401 - doit looks for both
