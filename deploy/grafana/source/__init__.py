"""The dashboards, written down once: ``python -m deploy.grafana.source`` makes Grafana's files."""
