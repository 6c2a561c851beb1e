"""Where a camera stands on the arm or beside it, together with the arm's joint offsets."""
