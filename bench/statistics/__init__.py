"""What per-image values can and cannot tell: intervals, paired comparisons, tie groups."""
