"""What a source layout is: where each column of a contract comes from, how a file is written and recognised."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Field:
    """Where one contract column comes from: columns of the export, a constant, the place in the file, or a sum.

    column: one or several columns, of which the first that is not blank counts. join: what is not blank of several, with
    joint between. within: the place among the lines with the same value of that contract column. plus_minutes: a column
    of minutes to be added to a time. divide_by: 100 where a share is written as 75. form: "salesforce_id", whose 15
    characters become 18; "first_listed" of several between semicolons; "clock", where 5:30 is 330 seconds; "opt_out", where
    yes is false and no says nothing; "keyed", a hash in place of a text that nobody may read; "unmasked", where a cell
    with a * says nothing. when: only in lines where each of these columns holds one of its words. A word of values that
    ends in * is the beginning of one. multiply: columns whose product begins the sum. word: the place of a word in the
    text, from 1. optional: parts of a sum that count as 0 where the file does not have them.
    """

    column: tuple[str, ...] = ()
    join: tuple[str, ...] = ()
    joint: str = " "
    constant: str | None = None
    from_record: bool = False
    within: str | None = None
    add: tuple[str, ...] = ()
    subtract: tuple[str, ...] = ()
    values: dict = field(default_factory=dict)
    formats: tuple[str, ...] = ()
    fold: str = "first"
    plus_minutes: str | None = None
    divide_by: int = 1
    form: str | None = None
    when: dict[str, tuple[str, ...]] = field(default_factory=dict)
    multiply: tuple[str, ...] = ()
    word: int | None = None
    optional: tuple[str, ...] = ()

    def columns(self):
        """The export's columns that this field reads."""
        return self.column + self.join + self.parts() + self.minutes() + tuple(self.when)

    def parts(self):
        """The columns of a sum, or of a product that begins one."""
        return self.multiply + self.add + self.subtract

    def minutes(self):
        """The column of minutes to be added, if there is one."""
        return (self.plus_minutes,) if self.plus_minutes else ()

    def missing_from(self, names):
        """The columns for want of which a file with these columns has no such value; none where it has one."""
        gone = [name for name in self.columns() if name not in names]
        is_enough = (self.column or self.join) and any(name in names for name in self.column + self.join)
        return [name for name in gone if not (is_enough and name in self.column + self.join)]


@dataclass(frozen=True)
class EntityMap:
    """How one entity's rows come out of an export. fold: several lines of the export are one row.

    carry_by: a blank cell takes the value on the first line of the same value in that column; carry: only in these
    columns, where it names any. needs: a line with none of
    these cells is no line of this entity, nor is one with a word of unless in its column. keep: columns that no contract
    column fits, kept as JSON in the column custom.
    """

    columns: dict[str, Field]
    fold: bool = False
    carry_by: str | None = None
    carry: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    unless: dict[str, tuple[str, ...]] = field(default_factory=dict)
    keep: tuple[str, ...] = ()

    def masked(self):
        """The columns in which a cell with a * says nothing, so that it makes no line one of the entity."""
        return {name for one in self.columns.values() if one.form == "unmasked" for name in one.column + one.join}

    @property
    def is_numbered(self):
        """Whether rows must carry their record's number: not every line is a row, or they lose the file's order."""
        return bool(self.needs or self.unless or self.carry_by or any(one.within for one in self.columns.values()))

    def source_columns(self):
        """Every column of the export that this entity reads."""
        mapped = [name for one in self.columns.values() for name in one.columns()]
        return list(dict.fromkeys([*mapped, *self.needs, *self.unless, *self.keep]))


@dataclass(frozen=True)
class Layout:
    """One export layout. fingerprint changes with its YAML and with the contracts.

    match_any: names of columns one of which stands in the header too, as written here: what tells this system's export from
    tables of the same everyday names. entry: the [[database]] entry whose deliveries alone are read by it; a file of the inbox never is.
    """

    name: str
    source: str
    entities: dict[str, EntityMap]
    match_columns: frozenset[str]
    match_file: str | None
    fingerprint: str
    also_called: dict[str, tuple[str, ...]] = field(default_factory=dict)
    delimiter: str | None = None
    encoding: str | None = None
    quote: str | None = None
    escape: str | None = None
    decimal: str = "."
    header: bool = True
    column_names: tuple[str, ...] = ()
    timezone: str | None = None
    currency: str | None = None
    delivery: str = "delta"
    personal_ids: bool = False
    entry: str | None = None
    match_any: frozenset[str] = frozenset()

    @property
    def written_in(self):
        """Where a person mends it."""
        return f"[[database]] {self.entry} in settings.toml" if self.entry else f"{self.name}.yaml"
