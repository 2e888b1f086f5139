"""The API's description, and its page."""

from typing import Any

from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.negotiation import DefaultContentNegotiation


class DocsView(SpectacularSwaggerSplitView):
    """Swagger UI from our own files, without a line of inline script or style."""

    content_negotiation_class = DefaultContentNegotiation
    template_name = "ai_tasks/docs.html"
    url_name = "api:schema"


OF_BODIES = ("400", "413", "415")
"""What any call with a body may answer: it is malformed, too large, or of another media type."""
OF_ALL = ("429", "503")
"""What any call may answer: the caller calls too often, the database cannot be reached."""


def with_common_answers(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Add to each operation of the description what every one of its kind may answer."""
    for operations in result["paths"].values():
        for operation in operations.values():
            answers = operation["responses"]
            common = (*OF_BODIES, *OF_ALL) if "requestBody" in operation else OF_ALL
            if "401" in answers:
                operation["responses"] = dict(sorted((dict.fromkeys(common, answers["401"]) | answers).items()))
    return result
