"""The images at work, without a container engine: ``scripts/image-check.sh`` runs this."""
