"""Write the files that Grafana reads."""

from pathlib import Path
from typing import Final

from deploy.grafana.source.cache import CACHE_PAGE
from deploy.grafana.source.checkout import CHECKOUT_PAGE
from deploy.grafana.source.cost import COST_PAGE
from deploy.grafana.source.render import rendered
from deploy.grafana.source.requests import REQUESTS_PAGE
from deploy.grafana.source.stores import STORES_PAGE

FOLDER: Final = Path(__file__).parents[1] / "dashboards"
DASHBOARDS: Final = (REQUESTS_PAGE, CACHE_PAGE, CHECKOUT_PAGE, STORES_PAGE, COST_PAGE)


def main() -> None:
    """Write every dashboard's file anew."""
    for dashboard in DASHBOARDS:
        (FOLDER / f"{dashboard.uid}.json").write_text(rendered(dashboard))


if __name__ == "__main__":
    main()
