"""`conure calibrate board`: print a board, and write down what the printer made of it."""

from dataclasses import asdict, dataclass, field

import yaml

from conure_calibration.boards.board import BOARD, Board
from conure_calibration.boards.printing import write_pdf
from conure_core.config.loader import load_config
from conure_core.config.values import bounds, check_values
from conure_core.errors import ConfigError
from conure_core.runtime.atomic_files import write_text
from conure_core.runtime.claim import claimed

MOST_SCALE_ERROR = 0.1


@dataclass(frozen=True)
class BoardConfig:
    """Configuration of `conure calibrate board`; see conf/calibrate_board.yaml."""

    kind: str
    """"charuco" or "chessboard"."""
    paper: str
    """"A4", "A3" or "Letter", landscape."""
    columns: int = field(metadata=bounds(3, 100))
    """Squares along x."""
    rows: int = field(metadata=bounds(3, 100))
    """Squares along y."""
    square_mm: float = field(metadata=bounds(1.0, 1000.0))
    """Side of a square as it is drawn."""
    dictionary: str
    """Of the markers."""
    measured_mm: list[float]
    """Width and height over all squares, as measured on the print; empty: not measured yet."""
    out: str
    """Folder for board.pdf and board.yaml."""

    def __post_init__(self) -> None:
        check_values(vars(self), type(self))
        if len(self.measured_mm) not in (0, 2):
            raise ConfigError(
                "measured_mm must be the width and the height over all squares, such as"
                f" [249.1,174.6], got {self.measured_mm}"
            )

    def board(self) -> Board:
        """The board with its measured size. Raises: ConfigError if that cannot be."""
        nominal = (self.columns * self.square_mm, self.rows * self.square_mm)
        measured = tuple(self.measured_mm) or nominal
        for name, got, expected in zip(("width", "height"), measured, nominal, strict=True):
            if abs(got / expected - 1.0) > MOST_SCALE_ERROR:
                raise ConfigError(
                    f"measured_mm: the {name} over {expected / self.square_mm:.0f} squares should"
                    f" be near {expected:g} mm, got {got:g}; measure over all squares, or give the"
                    " square_mm, columns and rows of your board"
                )
        return Board(
            kind=self.kind,
            columns=self.columns,
            rows=self.rows,
            square_x_m=round(measured[0] / self.columns / 1000, 9),
            square_y_m=round(measured[1] / self.rows / 1000, 9),
            measured=bool(self.measured_mm),
            dictionary=self.dictionary,
        )


def run(overrides: list[str]) -> None:
    """Print a calibration board, with rulers to check the printer."""
    config = load_config("conure_calibration.conf", "calibrate_board", BoardConfig, overrides)
    board = config.board()
    with claimed(config.out, "conure calibrate board") as out:
        if not board.measured:
            write_pdf(out / "board.pdf", board, config.paper)
            print(f"written: {out / 'board.pdf'}")
        write_text(out / BOARD, yaml.safe_dump(asdict(board), sort_keys=False))
        print(f"written: {out / BOARD}")
    if not board.measured:
        print(
            "print it at 100 %, glue it to something flat, measure over all squares, and run this"
            " again with measured_mm=[WIDTH,HEIGHT]"
        )
