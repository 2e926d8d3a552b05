"""The dashboard: pages rendered by the server, live by small fragments, acting only through the verbs."""
