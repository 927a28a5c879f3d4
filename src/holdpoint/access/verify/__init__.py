"""What a database really gives each tier, compared with what the configuration says."""
