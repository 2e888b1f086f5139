"""What the page's scripts say, in the reader's language; `{name}` is filled in by them."""

from django.utils.translation import gettext as _


def page_texts() -> dict[str, str]:
    """Return every text by the name that the scripts know it by."""
    return {**_states(), **_actions(), **_waiting(), **_errors()}


def _states() -> dict[str, str]:
    return {
        "sending": _("Sending…"),
        "queued": _("Waiting"),
        "queued_position": _("Waiting, number {position} in line"),
        "starts_at": _("starts about {time}"),
        "generating": _("Generating"),
        "generating_by": _("Generating · {model}"),
        "restarted": _("started again"),
        "complete": _("Answer complete"),
        "stopped": _("Stopped"),
        "failed": _("The answer failed"),
        "fallback": _("{from} unavailable → answered by {to}"),
        "tokens": _("{input}→{output} tokens"),
        "total_tokens": _("{tokens} tokens"),
        "no_price": _("no price known"),
        "reconnecting": _("Connection lost. Reconnecting…"),
        "signed_out": _("You are signed out. Reload the page to sign in."),
        "today": _("Today"),
        "yesterday": _("Yesterday"),
        "earlier": _("Earlier"),
        "no_sessions": _("No chats found."),
        "untitled": _("New chat"),
        "versions": _("Version {number} of {count}"),
        "this_month": _("This month"),
        "of_limit": _("{used} of {limit}"),
        "of_budget": _("{share} of the budget"),
        "chosen": _("{count} chosen"),
        "all_found": _("All that are found"),
    }


def _actions() -> dict[str, str]:
    return {
        "send": _("Send"),
        "stop": _("Stop"),
        "copy": _("Copy"),
        "copied": _("Copied"),
        "edit": _("Edit"),
        "save": _("Save and send"),
        "cancel": _("Cancel"),
        "retry": _("Retry"),
        "regenerate": _("Regenerate"),
        "previous": _("Previous version"),
        "next": _("Next version"),
        "more": _("Actions for {title}"),
        "select": _("Choose {title}"),
        "remove_file": _("Remove {name}"),
        "picture": _("Picture"),
        "show_archive": _("Archive"),
        "show_chats": _("Back to chats"),
        "archive": _("Archive"),
        "unarchive": _("Take out of the archive"),
    }


def _waiting() -> dict[str, str]:
    """By the task's blocking reason."""
    return {
        "reason_paused": _("the provider is paused"),
        "reason_circuit_open": _("the provider is down"),
        "reason_provider_retry_after": _("the provider asked to wait"),
        "reason_concurrency": _("all slots are in use"),
        "reason_lane_share": _("all slots are in use"),
        "reason_no_worker": _("no worker is running"),
        "reason_requests_per_minute": _("the rate limit is reached"),
        "reason_tokens_per_minute": _("the token limit is reached"),
        "reason_model_limit": _("the model's limit is reached"),
        "reason_budget": _("the budget is used up"),
        "reason_retry_backoff": _("trying again soon"),
        "reason_earlier_reply": _("an earlier reply comes first"),
        "reason_unsatisfiable": _("larger than the provider's limit"),
        "reason_scheduled": _("scheduled for later"),
        "reason_user_share": _("your share is in use"),
        "reason_worker_lost": _("its worker went away"),
    }


def _errors() -> dict[str, str]:
    """By an error's code."""
    return {
        "error": _("Something went wrong."),
        "error_network": _("The server cannot be reached."),
        "error_queue_full": _("Too much is waiting. Try again soon."),
        "error_budget_exceeded": _("The month's budget is used up."),
        "error_session_closed": _("This chat is archived or deleted."),
        "error_unknown_model": _("This model is not known."),
        "error_invalid_input": _("The message is empty or too long."),
        "files_most": _("A message takes at most {count} files."),
        "file_too_large": _("{name} is larger than 5 MB."),
        "file_refused": _("{name} is neither a picture (PNG, JPEG, GIF, WebP) nor a text, or it is too large."),
        "error_files": _("This model reads text alone, or a file is gone: choose another model or remove the file."),
        "error_payload_too_large": _("The file is too large."),
        "error_not_possible": _("This cannot be done now."),
        "error_not_found": _("This chat is gone."),
        "error_unavailable": _("The provider is unavailable."),
        "error_connect_timeout": _("The provider is unavailable."),
        "error_overloaded": _("The provider is overloaded."),
        "error_rate_limited": _("The provider's rate limit was reached."),
        "error_content_refused": _("The provider refused the content."),
        "error_context_window_exceeded": _("The conversation is too long for this model."),
        "error_authentication_failed": _("The provider does not accept our key."),
        "error_stream_cut": _("The answer was cut off."),
        "error_deadline": _("It took too long."),
        "error_timed_out": _("It took too long."),
    }
