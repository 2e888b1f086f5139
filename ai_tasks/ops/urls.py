"""The console's addresses, below `/admin/ops/`."""

from django.urls import path

from ai_tasks.ops.actions import urls as actions
from ai_tasks.ops.pages.costs import CostsFile, CostsPage
from ai_tasks.ops.pages.dead_letters import DeadLettersFile, DeadLettersPage
from ai_tasks.ops.pages.health import HealthPage
from ai_tasks.ops.pages.limits import LimitsPage
from ai_tasks.ops.pages.overview import Overview
from ai_tasks.ops.pages.provider import ProviderPage
from ai_tasks.ops.pages.queues import QueuePage, QueuesPage
from ai_tasks.ops.pages.statistics import StatisticsPage
from ai_tasks.ops.pages.task import TaskPage
from ai_tasks.ops.pages.tasks import TasksPage
from ai_tasks.ops.pages.workers import WorkersPage

app_name = "ops"
urlpatterns = [
    path("", Overview.as_view(), name="overview"),
    *actions.urlpatterns,
    path("providers/<slug:provider>/", ProviderPage.as_view(), name="provider"),
    path("queues/", QueuesPage.as_view(), name="queues"),
    path("queues/<slug:provider>/", QueuePage.as_view(), name="queue"),
    path("tasks/", TasksPage.as_view(), name="tasks"),
    path("tasks/<uuid:task_id>/", TaskPage.as_view(), name="task"),
    path("dead-letters/", DeadLettersPage.as_view(), name="dead-letters"),
    path("dead-letters.csv", DeadLettersFile.as_view(), name="dead-letters-file"),
    path("statistics/", StatisticsPage.as_view(), name="statistics"),
    path("costs/", CostsPage.as_view(), name="costs"),
    path("costs.csv", CostsFile.as_view(), name="costs-file"),
    path("workers/", WorkersPage.as_view(), name="workers"),
    path("limits/", LimitsPage.as_view(), name="limits"),
    path("health/", HealthPage.as_view(), name="health"),
]
