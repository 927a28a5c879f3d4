"""The review page and the JSON interface behind the command line."""
