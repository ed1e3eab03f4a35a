"""The window in which a rollout advances, by a place's clocks: nights of changed clocks too."""

from datetime import UTC, date, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.plan.model import AdvanceOnly, Freeze
from controller.plan.read_window import parse_days, parse_hours
from controller.plan.window import (
    closed_text,
    is_open,
    next_change,
    next_opening,
    rule_text,
    zones,
)

NEW_YORK, SEOUL = "America/New_York", "Asia/Seoul"
MINUTE = timedelta(minutes=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def window(
    zone: str, hours: str = "00:00-24:00", days: str = "mon-sun", **rest: object
) -> AdvanceOnly:
    begins, ends = parse_hours(hours)
    return AdvanceOnly(zone, parse_days(days), begins, ends, **rest)  # type: ignore[arg-type]


def opens(rule: AdvanceOnly, now: str) -> str:
    found = next_opening(rule, utc(now))
    assert found is not None
    return found.isoformat()[:16]


def changes(rule: AdvanceOnly, since: str, count: int) -> list[str]:
    """Return the next times at which it opens or closes."""
    found, now = [], utc(since)
    for _ in range(count):
        later = next_change(rule, now)
        assert later is not None
        found.append(later.isoformat()[:16])
        now = later
    return found


class TestAnOrdinaryWeek:
    WEEK = window(SEOUL, "09:00-17:00", "mon-thu")

    def test_a_friday_evening_waits_for_monday_morning_by_the_clocks_of_the_place(self) -> None:
        assert opens(self.WEEK, "2026-11-27T12:00") == "2026-11-30T00:00"  # 09:00 in Seoul

    def test_the_first_minute_is_in_the_window_and_the_end_is_not(self) -> None:
        assert is_open(self.WEEK, utc("2026-11-30T00:00"))
        assert not is_open(self.WEEK, utc("2026-11-29T23:59:59"))
        assert is_open(self.WEEK, utc("2026-11-30T07:59:59"))
        assert not is_open(self.WEEK, utc("2026-11-30T08:00"))

    def test_an_open_window_opens_now(self) -> None:
        assert opens(self.WEEK, "2026-11-30T05:00") == "2026-11-30T05:00"

    def test_a_freeze_closes_whole_days_of_the_place(self) -> None:
        frozen = window(
            SEOUL, "09:00-17:00", "mon-thu",
            freezes=(Freeze(date(2026, 12, 20), date(2027, 1, 3)),),
        )  # fmt: skip
        assert opens(frozen, "2026-12-17T09:00") == "2027-01-04T00:00"

    def test_the_rule_is_told_in_the_plans_words(self) -> None:
        one = window("UTC", "22:00-04:00", "mon-fri", freezes=(Freeze(*[date(2026, 12, 24)] * 2),))
        assert rule_text(one) == "mon-fri 22:00-04:00 UTC except 2026-12-24"
        assert rule_text(window(SEOUL)) == "00:00-24:00 Asia/Seoul"

    def test_when_it_opens_is_told_by_its_own_clocks(self) -> None:
        told = closed_text(self.WEEK, utc("2026-11-27T12:00"))
        assert told == "the window opens Mon 2026-11-30 09:00 Asia/Seoul"


class TestOverMidnight:
    NIGHTS = window("UTC", "22:00-04:00", "mon")

    def test_it_belongs_to_the_day_on_which_it_begins(self) -> None:
        assert is_open(self.NIGHTS, utc("2026-12-01T03:59"))  # Tuesday
        assert not is_open(self.NIGHTS, utc("2026-11-30T03:59"))  # Monday, but Sunday's night

    def test_a_frozen_day_is_closed_from_midnight_on(self) -> None:
        rule = window("UTC", "22:00-04:00", "mon", freezes=(Freeze(*[date(2026, 12, 1)] * 2),))
        assert changes(rule, "2026-11-30T12:00", 2) == ["2026-11-30T22:00", "2026-12-01T00:00"]


class TestNightsOfChangedClocks:
    # New York: 2026-03-08 02:00 EST is 03:00 EDT; 2026-11-01 02:00 EDT is 01:00 EST again.
    def test_a_window_in_the_hour_that_is_not_there_does_not_open_that_night(self) -> None:
        rule = window(NEW_YORK, "02:00-03:00")
        assert opens(rule, "2026-03-08T05:00") == "2026-03-09T06:00"

    def test_a_window_that_begins_in_the_missing_hour_opens_as_the_clocks_go_forward(self) -> None:
        rule = window(NEW_YORK, "02:30-05:00")
        assert changes(rule, "2026-03-08T05:00", 2) == ["2026-03-08T07:00", "2026-03-08T09:00"]

    def test_the_hour_that_is_there_twice_is_open_for_two_hours(self) -> None:
        rule = window(NEW_YORK, "01:00-02:00")
        assert changes(rule, "2026-11-01T04:00", 2) == ["2026-11-01T05:00", "2026-11-01T07:00"]

    def test_the_half_hour_that_is_there_twice_opens_twice(self) -> None:
        rule = window(NEW_YORK, "01:30-02:00")
        assert changes(rule, "2026-11-01T04:00", 4) == [
            "2026-11-01T05:30", "2026-11-01T06:00", "2026-11-01T06:30", "2026-11-01T07:00",
        ]  # fmt: skip

    def test_a_window_over_that_night_keeps_the_hours_on_the_wall(self) -> None:
        rule = window(NEW_YORK, "22:00-04:00")
        spring = changes(rule, "2026-03-08T00:00", 2)
        autumn = changes(rule, "2026-10-31T23:00", 2)
        assert spring == ["2026-03-08T03:00", "2026-03-08T08:00"]  # five hours
        assert autumn == ["2026-11-01T02:00", "2026-11-01T09:00"]  # seven

    def test_a_midnight_that_is_not_there_ends_a_freeze_all_the_same(self) -> None:
        rule = window("Asia/Beirut", freezes=(Freeze(*[date(2026, 3, 28)] * 2),))
        assert opens(rule, "2026-03-28T12:00") == "2026-03-28T22:00"  # 00:00 is 01:00 there


def test_every_zone_that_a_plan_may_name_is_known_here() -> None:
    now = utc("2026-03-08T00:00")
    assert [zone for zone in zones() if next_change(window(zone, "09:00-17:00"), now) is None] == []


def test_a_zone_that_this_machine_does_not_know_keeps_the_window_closed() -> None:
    rule = AdvanceOnly("Mars/Olympus")
    assert not is_open(rule, utc("2026-01-05T12:00"))
    assert next_opening(rule, utc("2026-01-05T12:00")) is None
    assert "does not know the time zone" in closed_text(rule, utc("2026-01-05T12:00"))


@st.composite
def rules(draw: st.DrawFn) -> AdvanceOnly:
    zone = draw(st.sampled_from([NEW_YORK, SEOUL, "UTC", "Australia/Lord_Howe", "Europe/Berlin"]))
    days = draw(st.sets(st.integers(1, 7), min_size=1))
    begins, ends = draw(
        st.tuples(st.integers(0, 1439), st.integers(1, 1440)).filter(lambda p: p[0] != p[1])
    )
    first = draw(st.dates(date(2026, 3, 1), date(2026, 11, 10)))
    freezes = draw(st.sampled_from([(), (Freeze(first, first + timedelta(days=2)),)]))
    return AdvanceOnly(zone, tuple(sorted(days)), begins, ends, freezes)


# The nights of 2026 in which clocks change, and any other time of that year.
nows = st.one_of(
    st.sampled_from(["2026-03-07", "2026-03-28", "2026-04-04", "2026-10-03", "2026-10-31"]).map(
        utc
    ),
    st.integers(0, 330).map(lambda day: utc("2026-01-01") + timedelta(days=day)),
).flatmap(lambda day: st.integers(0, 2 * 86_400).map(lambda s: day + timedelta(seconds=s)))


@settings(max_examples=60, deadline=None)
@given(rules(), nows)
def test_the_next_opening_is_open_and_nothing_before_it_is(
    rule: AdvanceOnly, now: datetime
) -> None:
    found = next_opening(rule, now)
    assert found is not None
    assert found >= now
    assert is_open(rule, found)
    looked, steps = now, 0
    while looked < found and steps < 3_000:
        assert not is_open(rule, looked), looked
        looked, steps = looked + MINUTE, steps + 1
    if found > now:
        assert not is_open(rule, found - timedelta(seconds=1))


@settings(max_examples=60, deadline=None)
@given(rules(), nows)
def test_an_open_window_stays_open_until_it_changes(rule: AdvanceOnly, now: datetime) -> None:
    change = next_change(rule, now)
    opened = is_open(rule, now)
    until = change or now + timedelta(days=2)
    looked, steps = now, 0
    while looked < until and steps < 3_000:
        assert is_open(rule, looked) is opened
        looked, steps = looked + MINUTE, steps + 1
    assert change is None or is_open(rule, change) is not opened
