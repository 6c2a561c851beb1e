"""A camera's lens: models, fits, choice of frames and of the model, uncertainty."""
