"""What every command gets: the settings, and the services over a store that is opened when first asked for."""

from dataclasses import dataclass, field

from dashboard.config import Settings
from dashboard.logfile import LogWriter
from dashboard.models.store import Store
from dashboard.services import store_service
from dashboard.services.log_service import LogService
from dashboard.services.task_service import TaskService


@dataclass
class Door:
    """One command's. Whatever opens the store raises what ``store_service`` does."""

    settings: Settings
    log: LogWriter
    _stores: list[Store] = field(default_factory=list)

    def store(self, *, reading: bool = False, create: bool = False) -> Store:
        """``reading``: a copy will do where the store cannot be written."""
        if not self._stores:
            opened = (store_service.open_for_reading(self.settings) if reading
                      else store_service.open_store(self.settings, create=create))
            self._stores.append(opened)
        return self._stores[0]

    def tasks(self, *, reading: bool = False) -> TaskService:
        """The task service over the store."""
        return TaskService(self.store(reading=reading), self.settings)

    def logs(self, *, reading: bool = True) -> LogService:
        """The log service over the store."""
        return LogService(self.store(reading=reading), self.settings)

    def is_running(self) -> bool:
        """Whether a scheduler has this store at the moment."""
        return store_service.is_running(self.settings)

    def close(self) -> None:
        """Closes what was opened."""
        while self._stores:
            self._stores.pop().close()
