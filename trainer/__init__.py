"""One training run: a configuration goes in, an `Outcome` comes out.

The public surface of the package. Names load on first use, so that commands which need no
tensors (`--help`, `status`) never import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainer.appraisal import Exported as Exported
    from trainer.appraisal import Reloaded as Reloaded
    from trainer.appraisal import Ruled as Ruled
    from trainer.appraisal import Together as Together
    from trainer.appraise import appraise_answers as appraise_answers
    from trainer.appraise import appraise_baseline as appraise_baseline
    from trainer.appraise import appraise_rule as appraise_rule
    from trainer.appraise import appraise_together as appraise_together
    from trainer.appraise import judge_rows as judge_rows
    from trainer.appraise import keep_answers as keep_answers
    from trainer.appraise import kept_answers as kept_answers
    from trainer.appraise import require_same as require_same
    from trainer.assess.assessment import Assessment as Assessment
    from trainer.assess.assessment import ClassScore as ClassScore
    from trainer.assess.assessment import Comparison as Comparison
    from trainer.assess.assessment import HardError as HardError
    from trainer.assess.assessment import Slice as Slice
    from trainer.assess.assessment import TaskScore as TaskScore
    from trainer.assess.interval import Interval as Interval
    from trainer.assess.rule import Answers as Answers
    from trainer.assess.rule import Rule as Rule
    from trainer.assess.rule import TaskRule as TaskRule
    from trainer.baseline import LabelledTexts as LabelledTexts
    from trainer.baseline import tfidf_baseline as tfidf_baseline
    from trainer.callbacks import Callback as Callback
    from trainer.card_rules import under_card_rules as under_card_rules
    from trainer.config.layers import ALIASES as ALIASES
    from trainer.config.layers import Layer as Layer
    from trainer.config.layers import Setting as Setting
    from trainer.config.layers import document_layer as document_layer
    from trainer.config.layers import flag_layer as flag_layer
    from trainer.config.layers import unknown_key as unknown_key
    from trainer.config.loader import Resolved as Resolved
    from trainer.config.loader import check_value as check_value
    from trainer.config.loader import dump_config as dump_config
    from trainer.config.loader import in_file_order as in_file_order
    from trainer.config.loader import load_config as load_config
    from trainer.config.loader import parse_setting as parse_setting
    from trainer.config.loader import resolve as resolve
    from trainer.config.loader import template_layer as template_layer
    from trainer.config.reference import key_table as key_table
    from trainer.config.schema import Config as Config
    from trainer.config.schema import Name as Name
    from trainer.config.schema import Section as Section
    from trainer.config.schema import key_paths as key_paths
    from trainer.config.templates import bundled_directory as bundled_directory
    from trainer.config.templates import bundled_names as bundled_names
    from trainer.config.templates import template_names as template_names
    from trainer.config.wording import by_value as by_value
    from trainer.config.wording import did_you_mean as did_you_mean
    from trainer.config.wording import explain as explain
    from trainer.config.wording import show as show
    from trainer.config.yaml import Document as Document
    from trainer.config.yaml import KeyPath as KeyPath
    from trainer.config.yaml import closest as closest
    from trainer.data.check import CheckRequest as CheckRequest
    from trainer.data.check import DataReport as DataReport
    from trainer.data.check import check_data as check_data
    from trainer.data.clean import CleanReport as CleanReport
    from trainer.data.clean import CleanRequest as CleanRequest
    from trainer.data.clean import clean_file as clean_file
    from trainer.data.columns import Columns as Columns
    from trainer.data.columns import parse_columns as parse_columns
    from trainer.data.content import fingerprint as fingerprint
    from trainer.data.facts import FileFacts as FileFacts
    from trainer.data.importers import ImportReport as ImportReport
    from trainer.data.importers import import_cold as import_cold
    from trainer.data.importers import import_csv as import_csv
    from trainer.data.join import join_rows as join_rows
    from trainer.data.read import read_table as read_table
    from trainer.data.sample import write_sample as write_sample
    from trainer.data.split import SplitReport as SplitReport
    from trainer.data.split import SplitRequest as SplitRequest
    from trainer.data.split import split_file as split_file
    from trainer.data.splits import read_rows as read_rows
    from trainer.data.texts import read_texts as read_texts
    from trainer.data.texts import texts_of_stream as texts_of_stream
    from trainer.delivery import copy_export as copy_export
    from trainer.delivery import push_export as push_export
    from trainer.delivery import require_hub as require_hub
    from trainer.disk import disk_errors as disk_errors
    from trainer.disk import disk_fault as disk_fault
    from trainer.ensemble import EnsembleExtras as EnsembleExtras
    from trainer.ensemble import EnsemblePredictor as EnsemblePredictor
    from trainer.ensemble import add_onnx as add_onnx
    from trainer.ensemble import export_ensemble as export_ensemble
    from trainer.ensemble import export_run as export_run
    from trainer.ensemble import open_predictor as open_predictor
    from trainer.errors import CardTooSmall as CardTooSmall
    from trainer.errors import ConfigError as ConfigError
    from trainer.errors import CpSearchError as CpSearchError
    from trainer.errors import DataError as DataError
    from trainer.errors import HostFull as HostFull
    from trainer.errors import ModelError as ModelError
    from trainer.errors import Place as Place
    from trainer.errors import Problem as Problem
    from trainer.errors import StorageFault as StorageFault
    from trainer.errors import StudyEnded as StudyEnded
    from trainer.errors import TooManyFailures as TooManyFailures
    from trainer.errors import TrialEnded as TrialEnded
    from trainer.errors import UserError as UserError
    from trainer.errors import WorkerLost as WorkerLost
    from trainer.experiment import load_run_config as load_run_config
    from trainer.export import ExportExtras as ExportExtras
    from trainer.export import export_model as export_model
    from trainer.files import sweep as sweep
    from trainer.files import write_json as write_json
    from trainer.files import write_text as write_text
    from trainer.memory.arithmetic import lacks_bf16 as lacks_bf16
    from trainer.memory.card import CardSpec as CardSpec
    from trainer.memory.card import parse_card as parse_card
    from trainer.memory.card import present_card as present_card
    from trainer.memory.card import show_size as show_size
    from trainer.memory.card import sized_card as sized_card
    from trainer.memory.encoders import encoder_shape as encoder_shape
    from trainer.memory.fit_options import FitOptions as FitOptions
    from trainer.memory.fit_options import asks_for as asks_for
    from trainer.memory.fit_options import plan_fit as plan_fit
    from trainer.memory.fit_options import planned_card as planned_card
    from trainer.memory.fit_table import Cell as Cell
    from trainer.memory.fit_table import FitTable as FitTable
    from trainer.memory.fit_table import Reach as Reach
    from trainer.model.source import exportable as exportable
    from trainer.model.source import require_model as require_model
    from trainer.model_card import CardFacts as CardFacts
    from trainer.onnx_model import OnnxBackend as OnnxBackend
    from trainer.onnx_model import OnnxCheck as OnnxCheck
    from trainer.onnx_model import require_onnx as require_onnx
    from trainer.outcome import Metrics as Metrics
    from trainer.outcome import Observer as Observer
    from trainer.outcome import Outcome as Outcome
    from trainer.outcome import Report as Report
    from trainer.outcome import Silent as Silent
    from trainer.outcome import Status as Status
    from trainer.predict import Predictor as Predictor
    from trainer.room import Room as Room
    from trainer.room import plan_rooms as plan_rooms
    from trainer.runner import run as run
    from trainer.site import Site as Site
    from trainer.threshold import Threshold as Threshold
    from trainer.threshold import parse_thresholds as parse_thresholds
    from trainer.unheeded import unheeded_settings as unheeded_settings

#: module -> what of it is public
HOMES = {
    "trainer.appraisal": ["Exported", "Reloaded", "Ruled", "Together"],
    "trainer.appraise": [
        "appraise_answers",
        "appraise_baseline",
        "appraise_rule",
        "appraise_together",
        "judge_rows",
        "keep_answers",
        "kept_answers",
        "require_same",
    ],
    "trainer.assess.assessment": [
        "Assessment",
        "ClassScore",
        "Comparison",
        "HardError",
        "Slice",
        "TaskScore",
    ],
    "trainer.assess.interval": ["Interval"],
    "trainer.assess.rule": ["Answers", "Rule", "TaskRule"],
    "trainer.baseline": ["LabelledTexts", "tfidf_baseline"],
    "trainer.callbacks": ["Callback"],
    "trainer.card_rules": ["under_card_rules"],
    "trainer.config.layers": ["ALIASES", "Layer", "Setting", "document_layer", "flag_layer", "unknown_key"],
    "trainer.config.loader": [
        "Resolved",
        "check_value",
        "dump_config",
        "in_file_order",
        "load_config",
        "parse_setting",
        "resolve",
        "template_layer",
    ],
    "trainer.config.reference": ["key_table"],
    "trainer.config.schema": ["Config", "Name", "Section", "key_paths"],
    "trainer.config.templates": ["bundled_directory", "bundled_names", "template_names"],
    "trainer.config.wording": ["by_value", "did_you_mean", "explain", "show"],
    "trainer.config.yaml": ["Document", "KeyPath", "closest"],
    "trainer.data.check": ["CheckRequest", "DataReport", "check_data"],
    "trainer.data.clean": ["CleanReport", "CleanRequest", "clean_file"],
    "trainer.data.columns": ["Columns", "parse_columns"],
    "trainer.data.content": ["fingerprint"],
    "trainer.data.facts": ["FileFacts"],
    "trainer.data.importers": ["ImportReport", "import_cold", "import_csv"],
    "trainer.data.join": ["join_rows"],
    "trainer.data.read": ["read_table"],
    "trainer.data.sample": ["write_sample"],
    "trainer.data.split": ["SplitReport", "SplitRequest", "split_file"],
    "trainer.data.splits": ["read_rows"],
    "trainer.data.texts": ["read_texts", "texts_of_stream"],
    "trainer.delivery": ["copy_export", "push_export", "require_hub"],
    "trainer.disk": ["disk_errors", "disk_fault"],
    "trainer.ensemble": [
        "EnsembleExtras",
        "EnsemblePredictor",
        "add_onnx",
        "export_ensemble",
        "export_run",
        "open_predictor",
    ],
    "trainer.errors": [
        "CardTooSmall",
        "ConfigError",
        "CpSearchError",
        "DataError",
        "HostFull",
        "ModelError",
        "Place",
        "Problem",
        "StorageFault",
        "StudyEnded",
        "TooManyFailures",
        "TrialEnded",
        "UserError",
        "WorkerLost",
    ],
    "trainer.experiment": ["load_run_config"],
    "trainer.export": ["ExportExtras", "export_model"],
    "trainer.files": ["sweep", "write_json", "write_text"],
    "trainer.memory.arithmetic": ["lacks_bf16"],
    "trainer.memory.card": ["CardSpec", "parse_card", "present_card", "show_size", "sized_card"],
    "trainer.memory.encoders": ["encoder_shape"],
    "trainer.memory.fit_options": ["FitOptions", "asks_for", "plan_fit", "planned_card"],
    "trainer.memory.fit_table": ["Cell", "FitTable", "Reach"],
    "trainer.model.source": ["exportable", "require_model"],
    "trainer.model_card": ["CardFacts"],
    "trainer.onnx_model": ["OnnxBackend", "OnnxCheck", "require_onnx"],
    "trainer.outcome": ["Metrics", "Observer", "Outcome", "Report", "Silent", "Status"],
    "trainer.predict": ["Predictor"],
    "trainer.room": ["Room", "plan_rooms"],
    "trainer.runner": ["run"],
    "trainer.site": ["Site"],
    "trainer.threshold": ["Threshold", "parse_thresholds"],
    "trainer.unheeded": ["unheeded_settings"],
}
_HOME_OF = {name: home for home, names in HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)  # derived from HOMES, which is the one list


def __getattr__(name: str) -> Any:
    """Load `name` from its home module on first use."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'trainer' has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    # Kept, so that a name is looked up once, and a submodule of the same name does not hide it.
    globals()[name] = value
    return value
