"""Peewee models and the store that holds them."""

from dashboard.models.revision import Meta, Revision
from dashboard.models.task import Task
from dashboard.models.task_log import TaskLog

MODELS = (Task, TaskLog, Revision, Meta)
__all__ = ["MODELS", "Meta", "Revision", "Task", "TaskLog"]
