"""Write an HTML report of a test: the columns of the paper's Table 2 (training hours, accuracy, inference TFLOPs,
parameters), results by class, confusion matrix, calibration, and the wrong predictions of highest score of each class,
with their videos:

mmtsf test CONFIG CHECKPOINT --work-dir WORK_DIR
mmtsf report WORK_DIR report.html

Of a test with several labels a video: mean average precision, results by class, calibration.

Training hours, of all processes together, are known where WORK_DIR is that of the training, too; less than one is told
in minutes. TFLOPs, of small models GFLOPs, are multiply-accumulates of all views of a video, as in the paper.

The page opens without a network, from a disk or a server. Pictures are in it; videos play from where they lie, by paths
relative to the page: to give the page to others, keep it beside the videos.
"""

import argparse

from mmtsf.utils.arguments import place
from mmtsf.utils.files import check_target, folder_here


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument('work_dir', type=place, help="the test's work dir, or its address, with its tables")
    parser.add_argument('out', type=place, help='page to write, here or at an address')
    parser.add_argument('--errors', type=int, default=5, help='errors of each class that are shown (default: 5)')


def check(args: argparse.Namespace) -> None:
    """Check that there are predictions, or a table of several labels a video, and that the page can be written.

    Raises:
        OSError: If not.
        ValueError: If an option has no meaning here.
    """
    file, table = args.work_dir / 'predictions.csv', args.work_dir / 'per_class.csv'
    if args.errors < 0:
        raise ValueError(f'--errors is {args.errors}, expected a number from 0')
    if not file.exists() and table.exists() and 'average_precision' in table.read_text().partition('\n')[0]:
        file = table  # of several labels a video
    if not file.exists():
        raise FileNotFoundError(f'{file} does not exist; mmtsf test writes it to its --work-dir')
    check_target(args.out, 'OUT', [file])


def run(args: argparse.Namespace) -> None:
    """Write the page, and print the columns of Table 2."""
    from mmtsf.evaluation.report import write_report

    with folder_here(args.work_dir, ('.csv', '.json', '.log', '.png', '.py')) as work_dir:
        report = write_report(work_dir, args.out, args.errors)
    print(f'wrote {args.out}: {report.told}')
    print('\n'.join(f'{name}: {value}' for name, value in report.costs.items()))
