"""Success rates, videos, and reports of priors."""
