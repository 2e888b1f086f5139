"""Providers as rows: their limits, prices, routes and state. Keys are never here."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from providers.circuit_models import CIRCUIT_MOVES as CIRCUIT_MOVES
from providers.circuit_models import Circuit as Circuit
from providers.circuit_models import CircuitMode as CircuitMode
from providers.circuit_models import CircuitRule as CircuitRule
from providers.circuit_models import CircuitState as CircuitState
from providers.circuit_models import CircuitTransition as CircuitTransition
from providers.managers import PriceManager, ProviderManager
from providers.matching import check_clause
from providers.route_models import Route as Route
from providers.route_models import RouteCandidate as RouteCandidate
from providers.types import BUCKETS, Unpriced

UNPRICED_CHOICES = [
    (Unpriced.WITHOUT_BUDGET.value, _("allowed where no budget applies")),
    (Unpriced.ALLOW.value, _("allowed, past every budget")),
    (Unpriced.REFUSE.value, _("refused")),
    (Unpriced.ASSUME.value, _("charged at the assumed prices")),
]


class Provider(models.Model):
    """One external AI service under our name for it; created once from the environment, then the operators'."""

    slug = models.SlugField(_("name"), primary_key=True, max_length=40)
    adapter = models.CharField(max_length=40)
    """Which adapter spoke for it when the row was made; the environment's word counts at run time."""
    created_at = models.DateTimeField(auto_now_add=True)
    unpriced = models.CharField(
        _("unknown prices"), max_length=14, choices=UNPRICED_CHOICES, default=Unpriced.WITHOUT_BUDGET
    )
    """What becomes of a call whose model has no price: never that it counts as free."""
    assumed_input_usd = models.DecimalField(max_digits=12, decimal_places=6, null=True, blank=True)
    """Of `assume`: price of a million tokens of input, whatever their bucket; rather too high than too low."""
    assumed_output_usd = models.DecimalField(max_digits=12, decimal_places=6, null=True, blank=True)
    """Of `assume`: price of a million tokens of output."""
    price_list = models.CharField(max_length=40, blank=True, default="")
    """Whose list `sync_prices` imports, by the name that genai-prices gives it; empty: found by the base URL."""
    price_variant = models.CharField(max_length=40, blank=True, default="")
    """At which variant of its prices (`batch`, `flex`, ...) its calls are billed; empty: the standard one."""

    objects = ProviderManager()

    class Meta:
        ordering = ("slug",)
        constraints = [
            models.CheckConstraint(
                condition=~Q(unpriced=Unpriced.ASSUME)
                | Q(assumed_input_usd__isnull=False, assumed_output_usd__isnull=False),
                name="provider_assumes_stated_prices",
                violation_error_message=_("State both prices that are to be assumed."),
            ),
            models.CheckConstraint(
                condition=Q(assumed_input_usd=None) | Q(assumed_input_usd__gte=0),
                name="provider_assumed_input_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(assumed_output_usd=None) | Q(assumed_output_usd__gte=0),
                name="provider_assumed_output_not_negative",
            ),
        ]
        verbose_name = _("provider")
        verbose_name_plural = _("providers")

    def __str__(self) -> str:
        return self.slug


class ProviderLimit(models.Model):
    """Bounds of a provider (`model` empty) or of one of its models; null is unlimited."""

    provider = models.ForeignKey(Provider, on_delete=models.CASCADE, related_name="limits")
    model = models.CharField(max_length=120, blank=True, default="")
    max_concurrency = models.PositiveIntegerField(null=True, blank=True)
    requests_per_minute = models.PositiveIntegerField(null=True, blank=True)
    tokens_per_minute = models.PositiveIntegerField(null=True, blank=True)
    back_at = models.DateTimeField(null=True, blank=True)
    """When they are to be again what they were before an operator changed them for a while; null: never."""
    back_to = models.JSONField(null=True, blank=True)
    """What that was: `{"max_concurrency", "requests_per_minute", "tokens_per_minute"}`."""

    class Meta:
        constraints = [models.UniqueConstraint(fields=("provider", "model"), name="limit_once_per_model")]
        verbose_name = _("provider limit")
        verbose_name_plural = _("provider limits")

    def __str__(self) -> str:
        return f"{self.provider_id}/{self.model or '*'}"


def _usd() -> models.DecimalField:
    """Return a column for USD per million tokens, to 1e-12 USD a token."""
    return models.DecimalField(max_digits=12, decimal_places=6, null=True, blank=True)


class Price(models.Model):
    """
    What a model costs in one span of time, in USD per million tokens, by bucket.

    A price list is the rows of one (provider, origin, model, variant): spans of time, each with its tiers. History
    stays: a change closes the row and opens another.
    """

    class Origin(models.TextChoices):
        """Who says so."""

        OPERATOR = "operator", _("operator")
        """Goes before what is imported, and is never touched by `sync_prices`."""
        IMPORTED = "imported", _("imported")

    provider = models.ForeignKey(Provider, on_delete=models.CASCADE, related_name="prices")
    origin = models.CharField(max_length=8, choices=Origin.choices, default=Origin.OPERATOR, editable=False)
    model = models.CharField(max_length=120)
    """The list's name for it."""
    match = models.JSONField(null=True, blank=True, validators=[check_clause])
    """Which names it stands for (see providers.matching); null: for its own."""
    rank = models.PositiveIntegerField(default=0)
    """Of several lists that match a name, the smallest counts."""
    variant = models.CharField(max_length=40, blank=True, default="")
    """`batch`, `flex`, ...; empty: the standard price."""
    above_input_tokens = models.PositiveIntegerField(default=0)
    """Tier: it counts, for the whole call, when its input is larger than this."""
    effective_from = models.DateTimeField()
    effective_until = models.DateTimeField(null=True, blank=True)
    """Null: until further notice."""
    input_usd = _usd()
    """Null, here and in output: not known, so that tokens of this bucket make a call unpriced."""
    cache_read_usd = _usd()
    """Null, here and in cache write: as input."""
    cache_write_usd = _usd()
    cache_write_1h_usd = _usd()
    """Null: as cache write."""
    output_usd = _usd()
    reasoning_usd = _usd()
    """Null: as output."""
    source = models.CharField(max_length=200)
    """Where the numbers come from, with a date."""
    changed_at = models.DateTimeField(auto_now=True)
    """By which processes know that what they remember is old."""

    objects = PriceManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=("provider", "origin", "model", "variant", "above_input_tokens", "effective_from"),
                name="price_once_per_moment",
            ),
            models.CheckConstraint(
                condition=Q(effective_until=None) | Q(effective_until__gt=models.F("effective_from")),
                name="price_ends_after_it_begins",
            ),
            *(
                models.CheckConstraint(
                    condition=Q(**{f"{bucket}_usd": None}) | Q(**{f"{bucket}_usd__gte": 0}),
                    name=f"price_{bucket}_not_negative",
                )
                for bucket in BUCKETS
            ),
        ]
        ordering = ("provider", "model", "-effective_from")
        verbose_name = _("price")
        verbose_name_plural = _("prices")

    def __str__(self) -> str:
        return f"{self.provider_id}/{self.model}"
