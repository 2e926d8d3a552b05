"""Parts of ambidex.toml for roll-outs and for what is sent when an alert opens."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from ambidex.errors import UsageError

__all__ = ["NotifySettings", "RolloutSettings", "check_notify"]


class RolloutSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """``[rollout]``: what holds for a roll-out that has no plan of its own.

    Attributes:
        margin: How much worse the mean loss may be and still count as not worse, in units of the loss.
        alpha: Error rate of each claim: a harmless candidate rolled back, a worse one promoted.
        share: Share of the units that a canary answers.
        deadline: How long a stage may last before the champion stays.
        settle: How long a canary that was shown to be not worse in the shadow must go without a trip.
        errors: Largest share of a candidate's answers that may fail.
        slower: How many times the live version's p99 the candidate's may be.
        mix: How far the candidate's mean prediction may lie from the live version's, in shares.
    """

    margin: float = 0.02
    alpha: float = 0.05
    share: float = 0.1
    deadline: str = "28d"
    settle: str = "1d"
    errors: float = 0.01
    slower: float = 2.0
    mix: float = 0.1


class NotifySettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """``[notify]``: where alerts are sent; nothing is sent anywhere else, and nothing unless it is said here.

    Attributes:
        webhook: Address that takes a signed JSON document, ``https://…`` or ``http://…``; redirects are not followed.
        private: Whether that address, or the mail server's, may be of this machine or of a private network.
        secret_env: Name of the environment variable that holds the signing key; a key is made in the workspace if None.
        email: Addresses that get a mail.
        sender: Whom it comes from.
        smtp: The mail server: ``smtp://host:25``, ``starttls://host:587`` or ``smtps://host:465``.
        smtp_user: Name to log in with.
        smtp_password_env: Name of the environment variable that holds the password.
        command: Program and arguments that are run with the alert as JSON on standard input, without a shell.
        level: ``page`` sends pages only, ``info`` everything.
    """

    webhook: str | None = None
    private: bool = False
    secret_env: str | None = None
    email: tuple[str, ...] = ()
    sender: str | None = None
    smtp: str | None = None
    smtp_user: str | None = None
    smtp_password_env: str | None = None
    command: tuple[str, ...] = ()
    level: Literal["page", "info"] = "page"

    @property
    def channels(self) -> tuple[str, ...]:
        """What is configured."""
        said = (("webhook", self.webhook), ("email", self.email), ("command", self.command))
        return tuple(name for name, value in said if value)


def check_notify(notify: NotifySettings, file: str) -> None:
    """Schemes and addresses, where the file is read; whether anything answers there shows when it is used.

    Raises:
        UsageError: ``usage.config``.
    """
    if not (notify.channels or notify.smtp or notify.sender):
        return
    from urllib.parse import urlsplit  # takes longer to import than all of this file takes to read

    def refuse(key: str, what: str, do: str) -> None:
        raise UsageError("usage.config", f"[notify] {key} {what}", where=f"{file}, notify.{key}", do=do)

    for key, schemes, do in (
        ("webhook", ("http", "https"), 'webhook = "https://hooks.example/ambidex"'),
        ("smtp", ("smtp", "starttls", "smtps"), 'smtp = "starttls://mail.example:587"'),
    ):
        said = getattr(notify, key)
        if said is None:
            continue
        try:
            parts = urlsplit(said)
            good = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
        except ValueError:
            refuse(key, "is no address", do)
        if not good or any(c <= " " or c == "\x7f" for c in said):
            refuse(key, f"is no address of the kinds {', '.join(schemes)}", do)
        if parts.username or parts.password:
            refuse(key, "holds a name or password, which do not belong into a file", do)
    if notify.email and (notify.smtp is None or notify.sender is None):
        refuse("email", f"needs {'smtp' if notify.smtp is None else 'sender'}", 'sender = "ambidex@example.org"')
    for address in (*notify.email, *((notify.sender,) if notify.sender else ())):
        if not re.fullmatch(r"[^\s@<>,;:\"\x00-\x1f]{1,64}@[A-Za-z0-9.-]{1,253}", address):
            refuse("email", f"{address[:80]!r} is no mail address", 'email = ["ops@example.org"]')
