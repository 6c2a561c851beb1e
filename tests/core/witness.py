"""What is known of an arm without our own code: limits from its files, poses and distances measured
by PyBullet.
"""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pybullet
import yaml

ROBOTS = Path(__file__).resolve().parents[2] / "ros2_ws/src/conure_core/conure_core/robots"
FAR_M = 5.0


class Witness:
    """One robot's files. Joint vectors are (n,) rad, in the order of the file's `joint_names`."""

    def __init__(self, name: str) -> None:
        self.file = yaml.safe_load((ROBOTS / f"{name}.yaml").read_text())
        urdf = ROBOTS / self.file["urdf"]
        limits = {
            joint.get("name"): joint.find("limit")
            for joint in ElementTree.parse(urdf).iter("joint")
        }
        margin = self.file["position_margin_rad"]
        self.lower_rad = np.array(
            [float(limits[joint].get("lower")) + margin for joint in self.file["joint_names"]]
        )
        self.upper_rad = np.array(
            [float(limits[joint].get("upper")) - margin for joint in self.file["joint_names"]]
        )
        self.home_rad = np.array(self.file["home_rad"])
        self.speed_rad_s = np.array(self.file["max_speed_rad_s"])
        self.acceleration_rad_s2 = np.array(self.file["max_acceleration_rad_s2"])
        self.period_s = self.file["control_period_s"]
        self.settle_s = self.file["settle_fraction"] * self.period_s
        self._world = pybullet.connect(pybullet.DIRECT)
        self._body = pybullet.loadURDF(str(urdf), useFixedBase=True, physicsClientId=self._world)
        count = pybullet.getNumJoints(self._body, physicsClientId=self._world)
        found = [
            pybullet.getJointInfo(self._body, index, physicsClientId=self._world)
            for index in range(count)
        ]
        self._joints = {info[1].decode(): info[0] for info in found}
        self._links = {info[12].decode(): info[0] for info in found}
        self._groups = self._moving_groups(found)
        self._pose_fingers()
        self._pairs = self._watched_pairs()

    def _moving_groups(self, found: list) -> dict[int, int]:
        """For each link how many of the arm's joints lie between the base and it."""
        groups = {-1: 0}
        for info in found:
            groups[info[0]] = groups[info[16]] + (info[1].decode() in self.file["joint_names"])
        return groups

    def _pose_fingers(self) -> None:
        """Wide open, as the clearances are meant."""
        for name, sign in ((self.file["gripper_joint"], 1.0), (self.file["gripper_mimic"], -1.0)):
            position = sign * self.file["gripper_open_m"]
            pybullet.resetJointState(
                self._body, self._joints[name], position, physicsClientId=self._world
            )

    def _watched_pairs(self) -> list[tuple[int, int]]:
        """Links that are not neighbours, nor touch at home, where nothing else would move
        either.
        """
        self._pose(self.home_rad)
        links = sorted(self._groups)
        pairs = [(a, b) for a in links for b in links if self._groups[b] - self._groups[a] > 1]
        return [pair for pair in pairs if self._distance_m(*pair) > 0.0]

    def _pose(self, joint_rad: np.ndarray) -> None:
        for name, angle in zip(self.file["joint_names"], joint_rad, strict=True):
            pybullet.resetJointState(
                self._body, self._joints[name], angle, physicsClientId=self._world
            )

    def _distance_m(self, first: int, second: int) -> float:
        words = {"linkIndexA": first, "linkIndexB": second, "physicsClientId": self._world}
        points = pybullet.getClosestPoints(self._body, self._body, FAR_M, **words)
        return min((point[8] for point in points), default=FAR_M)

    def tool_m(self, joint_rad: np.ndarray) -> np.ndarray:
        """Position of the tool frame, (3,)."""
        self._pose(joint_rad)
        link = self._links[self.file["tool_frame"]]
        state = pybullet.getLinkState(
            self._body, link, computeForwardKinematics=True, physicsClientId=self._world
        )
        return np.array(state[4])

    def self_distance_m(self, joint_rad: np.ndarray) -> float:
        """Between the two links that are nearest to touching."""
        self._pose(joint_rad)
        return min(self._distance_m(*pair) for pair in self._pairs)

    def lowest_m(self, joint_rad: np.ndarray) -> float:
        """Height of the lowest point of the links that the shoulder moves."""
        self._pose(joint_rad)
        lowest = FAR_M
        plane = pybullet.createCollisionShape(
            pybullet.GEOM_BOX, halfExtents=[FAR_M, FAR_M, 0.5], physicsClientId=self._world
        )
        body = pybullet.createMultiBody(
            0, plane, basePosition=[0, 0, -1.5], physicsClientId=self._world
        )
        for link, group in self._groups.items():
            if group > 1:
                words = {"linkIndexA": link, "physicsClientId": self._world}
                points = pybullet.getClosestPoints(self._body, body, FAR_M, **words)
                lowest = min([lowest, *(point[8] - 1.0 for point in points)])
        pybullet.removeBody(body, physicsClientId=self._world)
        return lowest

    def smallest_singular_value(self, joint_rad: np.ndarray) -> float:
        """Of the tool's Jacobian in metres and radians, by differences of poses."""
        link, step = self._links[self.file["tool_frame"]], 2e-3

        def pose(angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            self._pose(angles)
            state = pybullet.getLinkState(
                self._body, link, computeForwardKinematics=True, physicsClientId=self._world
            )
            return np.array(state[4]), np.array(pybullet.getMatrixFromQuaternion(state[5])).reshape(
                3, 3
            )

        columns = []
        for index in range(len(joint_rad)):
            nudge = step * (np.arange(len(joint_rad)) == index)
            (behind, turned_back), (ahead, turned) = (
                pose(joint_rad - nudge),
                pose(joint_rad + nudge),
            )
            turn = turned @ turned_back.T
            axis = (
                np.array(
                    [turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]]
                )
                / 2
            )
            columns.append(np.concatenate([ahead - behind, axis]) / (2 * step))
        return float(np.linalg.svd(np.array(columns).T, compute_uv=False)[-1])
