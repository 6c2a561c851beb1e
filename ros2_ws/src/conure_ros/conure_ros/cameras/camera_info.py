"""sensor_msgs/CameraInfo from a calibration, and back."""

import numpy as np
from sensor_msgs.msg import CameraInfo

from conure_ros.cameras.calibration import Calibration
from conure_ros.cameras.framing import Placement


def calibration_message(calibration: Calibration, frame: str) -> CameraInfo:
    """Build a CameraInfo without a stamp, of whole images: without binning and roi.

    Args:
        calibration: Calibration of the published images.
        frame: Name of the optical frame.
    """
    message = CameraInfo(
        width=calibration.width_px,
        height=calibration.height_px,
        distortion_model=calibration.model,
        d=calibration.distortion.tolist(),
        k=calibration.matrix.ravel().tolist(),
        r=calibration.rectification.ravel().tolist(),
        p=calibration.projection.ravel().tolist(),
    )
    message.header.frame_id = frame
    return message


def sent_calibration(message: CameraInfo) -> Calibration:
    """The calibration of the images that come with a CameraInfo.

    Its width, height, K and P are those of the sensor's whole frame. A driver that sends a part of
    it (`roi`), or joins pixels (`binning_x`, `binning_y`), says so there. A P of zeros, as of
    drivers that do not rectify, is taken as K. Source: REP 104.
    """
    matrix = np.array(message.k, np.float64).reshape(3, 3)
    projection = np.array(message.p, np.float64).reshape(3, 4)
    if not projection.any():
        projection = np.hstack([matrix, np.zeros((3, 1))])
    whole = Calibration(
        width_px=message.width,
        height_px=message.height,
        model=message.distortion_model,
        matrix=matrix,
        distortion=np.array(message.d, np.float64),
        rectification=np.array(message.r, np.float64).reshape(3, 3),
        projection=projection,
    )
    roi = message.roi
    box = (roi.x_offset, roi.y_offset, roi.width or whole.width_px, roi.height or whole.height_px)
    sent = (box[2] // max(1, message.binning_x), box[3] // max(1, message.binning_y))
    if box == (0, 0, *sent) or min(sent) < 1:
        return whole
    return whole.for_placement(Placement(box, sent, (0, 0), sent))
