"""Success rates, comparisons, videos, and reports of priors."""
