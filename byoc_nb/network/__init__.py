"""Local stand-ins for what surrounds a container on Livepeer's network: the ingest, and a viewer that records."""
