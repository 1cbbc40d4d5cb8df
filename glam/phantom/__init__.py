"""A 3-D breast phantom seen as CC and MLO, with the truth of both views: numpy and scipy, no patient."""

from glam.phantom.anatomy import Breast as Breast
from glam.phantom.anatomy import draw_breast as draw_breast
from glam.phantom.dicom_file import Study as Study
from glam.phantom.dicom_file import write_dicom as write_dicom
from glam.phantom.exam import draw_exam as draw_exam
from glam.phantom.exam import write_exams as write_exams
from glam.phantom.facts import report_facts as report_facts
from glam.phantom.in_memory import view_of as view_of
from glam.phantom.options import PhantomOptions as PhantomOptions
from glam.phantom.pair import Pair as Pair
from glam.phantom.pair import draw_pair as draw_pair
from glam.phantom.pair import pair_of as pair_of
from glam.phantom.render import Projection as Projection
from glam.phantom.render import render as render
from glam.phantom.truth import BreastTruth as BreastTruth
from glam.phantom.truth import ViewTruth as ViewTruth
