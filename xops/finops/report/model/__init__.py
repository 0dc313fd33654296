"""What a cost report says."""
