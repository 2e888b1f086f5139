"""The shapes of the wishes and answers of /v1/files and /v1/batches."""

from rest_framework import serializers

from ai_tasks.api.fields import Metadata, StrictSerializer, Text, WholeNumber
from ai_tasks.compat.batch_lines import ENDPOINTS

WINDOW = "24h"
SHORTEST_SECONDS, LONGEST_SECONDS = 3_600, 2_592_000
"""Of `expires_after`, as OpenAI's."""


class ExpiresAfter(StrictSerializer):
    """How long a file is kept."""

    anchor = serializers.ChoiceField(choices=["created_at"])
    seconds = WholeNumber(min_value=SHORTEST_SECONDS, max_value=LONGEST_SECONDS)


class BatchCreate(StrictSerializer):
    """A batch as its caller asks for it."""

    input_file_id = Text(max_length=100, help_text="Of a file that was uploaded with the purpose `batch`.")
    endpoint = serializers.ChoiceField(choices=list(ENDPOINTS))
    completion_window = serializers.ChoiceField(choices=[WINDOW])
    metadata = Metadata(required=False, allow_null=True)
    output_expires_after = ExpiresAfter(required=False, allow_null=True)
