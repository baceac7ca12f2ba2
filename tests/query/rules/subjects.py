"""Define accounts of which not everybody sees all, deals and notes about them, and papers of two kinds."""

from enum import StrEnum

import strawberry

from onedoor.schema.annotations import (
    Argument,
    ById,
    Changed,
    Computed,
    History,
    Looked,
    Many,
    One,
    allow,
    owned,
    with_arguments,
    with_input,
)

OPEN = [allow("staff", "desk", "vendor"), owned("tests")]


@strawberry.enum(description="What a paper is.")
class Kind(StrEnum):
    CONTRACT = "CONTRACT"
    MEMO = "MEMO"


@strawberry.type(description="An account.", directives=OPEN)
class Account:
    id: strawberry.ID = strawberry.field(description="Its number.")
    name: str | None = strawberry.field(description="Not unique.")
    region: str | None = strawberry.field(description="Where it is.")
    phone: str | None = strawberry.field(description="Its number.")
    email: str | None = strawberry.field(description="Its address.", directives=[allow("staff", "desk")])
    band: Computed[str | None] = strawberry.field(description="About its limit.")
    deals: Many["Deal"] = strawberry.field(description="Its deals.")
    notes: Many["Note"] = strawberry.field(description="What is said of it, kept elsewhere.")
    papers: Many["Paper"] = strawberry.field(description="Its papers.")
    history: History["Account"] = strawberry.field(description="Its changes.")


@strawberry.type(description="A deal.", directives=OPEN)
class Deal:
    id: strawberry.ID = strawberry.field(description="Its number.")
    title: str | None = strawberry.field(description="What it is.")
    amount: int | None = strawberry.field(description="What it is worth.")
    account: One["Account"] = strawberry.field(description="With whom.")
    account_name: Looked[str] = strawberry.field(description="The name of the account.")
    paper: One["Paper"] = strawberry.field(description="What was signed.")


@strawberry.type(description="A note, kept elsewhere.", directives=OPEN)
class Note:
    id: strawberry.ID = strawberry.field(description="Its number.")
    text: str | None = strawberry.field(description="What it says.")
    account: One["Account"] = strawberry.field(description="About whom.")


@strawberry.interface(description="A paper.", directives=OPEN)
class Paper:
    id: strawberry.ID = strawberry.field(description="Its kind and number.")
    name: str | None = strawberry.field(description="Not unique.")


@strawberry.type(description="A contract.", directives=OPEN)
class Contract(Paper):
    account: One["Account"] = strawberry.field(description="With whom.")


@strawberry.type(description="A memo.", directives=OPEN)
class Memo(Paper):
    author: str | None = strawberry.field(description="Whose.")


@strawberry.input(description="What to write of a new account.")
class CreateAccountInput:
    id: strawberry.ID = strawberry.field(description="Its number.")
    name: str | None = strawberry.field(description="Not unique.")
    region: str | None = strawberry.field(description="Where it is.")


@strawberry.input(description="What to change of an account.")
class UpdateAccountInput:
    id: strawberry.ID = strawberry.field(description="Its number.")
    name: str | None = strawberry.field(description="Not unique.")
    region: str | None = strawberry.field(description="Where it is.")


@strawberry.input(description="Which account to delete.")
class DeleteAccountInput:
    id: strawberry.ID = strawberry.field(description="Its number.")


@strawberry.input(description="What to change of a deal.")
class UpdateDealInput:
    id: strawberry.ID = strawberry.field(description="Its number.")
    title: str | None = strawberry.field(description="What it is.")
    account_id: int | None = strawberry.field(description="With whom.")


@strawberry.type
class Query:
    account: ById["Account"] = strawberry.field(description="One.")
    accounts: Many["Account"] = strawberry.field(description="All.")
    deal: ById["Deal"] = strawberry.field(description="One.")
    deals: Many["Deal"] = strawberry.field(description="All.")
    notes: Many["Note"] = strawberry.field(description="All.")
    paper: ById["Paper"] = strawberry.field(description="One.")
    papers: Many["Paper"] = strawberry.field(description="All.")
    contract: ById["Contract"] = strawberry.field(description="One.")
    contracts: Many["Contract"] = strawberry.field(description="All.")


@strawberry.type
class Mutation:
    create_account: Changed["Account"] = strawberry.field(
        description="Makes one.", directives=OPEN, metadata=with_input(CreateAccountInput)
    )
    update_account: Changed["Account"] = strawberry.field(
        description="Changes one.", directives=OPEN, metadata=with_input(UpdateAccountInput)
    )
    delete_account: Changed["Account"] = strawberry.field(
        description="Deletes one.", directives=OPEN, metadata=with_input(DeleteAccountInput)
    )
    update_deal: Changed["Deal"] = strawberry.field(
        description="Changes one.", directives=OPEN, metadata=with_input(UpdateDealInput)
    )


@strawberry.type
class Subscription:
    account_changed: Changed["Account"] = strawberry.field(
        description="A change of an account.",
        metadata=with_arguments(id=Argument(strawberry.ID, "Only of this account.", default=None)),
    )
