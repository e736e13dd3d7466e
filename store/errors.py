"""Everything the store refuses, as one tree.

StoreError
    CannotOpen              the file or URL cannot serve as our database
        NotADatabase        it is something else
        NewerDatabase       a newer version of this program wrote it
        BrokenMigration     a migration left rows that point nowhere
        Damaged             its pages do not hold together
        NoDriver            the package that speaks to the server is not installed
    BackupFailed            no copy was made: the disk is full, the place cannot be written, the source is damaged
    NotEmpty                a database that was to take a copy holds rows already
    CopyDiffers             a copy came out otherwise than what was copied
    Busy                    another process kept the write lock too long
        Unreachable         the database server does not answer
        Collided            two transactions waited for each other, and the server ended this one
    CannotWrite             the disk is full, broken, or may only be read
    NestedWrite             a write was begun inside a write of the same thread
    WrongProcess            a database opened before a fork was used after it
    Unknown                 a row that should be there is not
        UnknownImage  UnknownClass  UnknownAct  UnknownEvent  UnknownRound  UnknownCommand  UnknownUser  UnknownToken
    Refused                 the value itself cannot be stored
        BadName             an empty class or annotator name
        NameTaken           a second class or user of the same name
        BadMerge            a class merged into itself or into one that is gone
        BadParent           a class under itself, or under one that is gone
        BadShortcut         a key that no class can be pinned to, or that another class has
        BadReference        a reference image that is no image, or named twice
        NotActive           a class to be changed that is retired or merged
        ChangedSince        a change to be undone on which another one rests
        BadValue            a number or text outside what the database can hold
        BadEvent            an event that contradicts itself
        UuidTaken           another event already carries this uuid
        BadQueue            a queue with repeated images or non-finite numbers
        Superseded          a publication based on a round older than what is shown
        NotRunning          progress or an end reported for a round that is over
"""

from __future__ import annotations


class StoreError(Exception):
    """Base of everything the store raises on purpose."""


class CannotOpen(StoreError):
    """The file or URL cannot serve as our database."""


class NotADatabase(CannotOpen):
    """The file is not a database of this program."""


class NewerDatabase(CannotOpen):
    """A newer version of this program wrote the file."""


class BrokenMigration(CannotOpen):
    """A migration left rows that point nowhere; nothing was committed."""


class Damaged(CannotOpen):
    """The file's pages do not hold together."""


class NoDriver(CannotOpen):
    """The package that speaks to the database server is not installed."""


class BackupFailed(StoreError):
    """No copy of the database was made; nothing is left of it."""


class NotEmpty(StoreError):
    """The database that was to take a copy holds rows already."""


class CopyDiffers(StoreError):
    """A copy came out otherwise than what was copied; it was not kept."""


class Busy(StoreError):
    """Another process kept the write lock too long."""


class Unreachable(Busy):
    """The database server does not answer; nothing is known of what was on its way."""


class Collided(Busy):
    """Two transactions waited for each other, and the server ended this one; nothing of it is stored."""


class CannotWrite(StoreError):
    """The disk does not take what is to be written; nothing of that transaction is stored."""


class NestedWrite(StoreError):
    """A write was begun inside a write of the same thread."""


class WrongProcess(StoreError):
    """A database opened in one process was used in another."""


class Unknown(StoreError):
    """A row that should be there is not."""


class UnknownImage(Unknown):
    """No image has this id."""


class UnknownClass(Unknown):
    """No class has this id."""


class UnknownAct(Unknown):
    """No change of the classes has this seq."""


class UnknownEvent(Unknown):
    """No label event has this seq."""


class UnknownRound(Unknown):
    """No round has this id."""


class UnknownCommand(Unknown):
    """No command has this id."""


class UnknownUser(Unknown):
    """No user has this id."""


class UnknownToken(Unknown):
    """No API token has this id."""


class Refused(StoreError):
    """The value itself cannot be stored."""


class BadName(Refused):
    """A name is empty."""


class NameTaken(Refused):
    """Another class or user has this name."""


class BadMerge(Refused):
    """A class cannot be merged into that one."""


class BadParent(Refused):
    """A class cannot stand under that one."""


class BadShortcut(Refused):
    """A class cannot be pinned to that key."""


class BadReference(Refused):
    """That image cannot show the class."""


class NotActive(Refused):
    """The class is retired or merged."""


class ChangedSince(Refused):
    """Another change rests on the one that was to be undone."""


class BadValue(Refused):
    """A number or text is outside what the database can hold."""


class BadEvent(Refused):
    """An event contradicts itself."""


class UuidTaken(Refused):
    """Another event already carries this uuid."""


class BadQueue(Refused):
    """A queue repeats an image or holds a number that is not finite."""


class Superseded(Refused):
    """The publication shown is based on a newer round than this one."""


class NotRunning(Refused):
    """The round is already over."""
