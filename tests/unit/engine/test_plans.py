"""What a run's steps say of cost, before and after."""

from __future__ import annotations

from meshctl.changes import Step, plan_text
from meshctl.deploy.runs import plans
from meshctl.model.deployment import Deployment, Price
from tests.unit.migrate.fake_gateway import deployment

URN = "urn:pulumi:east::llm-prod::meshaws:s3:Bucket::"


def priced() -> Deployment:
    """A pool of 10 USD/h, and two stores of 2 USD/h each."""
    found = deployment("east")
    price = Price(subject="storage", usd_per_hour=2.0, source="contract")
    stores = tuple(store.model_copy(update={"price": price}) for store in found.object_stores)
    return found.model_copy(update={"object_stores": stores})


def bucket(name: str, op: str) -> Step:
    return Step(urn=f"{URN}storage/{name}:bucket", type="meshaws:s3:Bucket", op=op)


def test_buckets_alone_cost_what_they_cost_and_nothing_more() -> None:
    steps = [bucket("weights", "same"), bucket("checkpoints", "create")]
    found = plans.plan_of_buckets(priced(), steps, None)
    assert (found.hourly_usd_before, found.hourly_usd_after) == (2.0, 4.0)


def test_buckets_that_were_there_cost_something_before_the_rest_does() -> None:
    steps = [bucket("weights", "same"), bucket("checkpoints", "update")]
    found = plans.plan_of_run(priced(), steps, None, ())
    assert (found.hourly_usd_before, found.hourly_usd_after) == (4.0, 14.0)


def test_buckets_beside_what_is_up_add_to_its_cost() -> None:
    before = deployment("east")
    found = plans.plan_of_buckets(priced(), [bucket("weights", "create")], before)
    assert (found.hourly_usd_before, found.hourly_usd_after) == (10.0, 14.0)


def test_buckets_whose_price_is_unknown_do_not_cost_nothing() -> None:
    unpriced = deployment("dc1")
    assert {store.price.usd_per_hour for store in unpriced.object_stores} == {None}
    found = plans.plan_of_buckets(unpriced, [bucket("weights", "create"), bucket("checkpoints", "create")], None)
    assert (found.hourly_usd_before, found.hourly_usd_after) == (0.0, None)
    found = plans.plan_of_run(unpriced, [bucket("weights", "same"), bucket("checkpoints", "same")], None, ())
    assert found.hourly_usd_before is None


def test_c4_a_detailed_plan_names_the_source_of_its_prices_with_the_date() -> None:
    found = deployment("east")
    listed = Price(subject="storage", usd_per_hour=1.0, source="list price: a page", date="2025-12")
    stores = tuple(store.model_copy(update={"price": listed}) for store in found.object_stores)
    plan = plans.plan_of_run(found.model_copy(update={"object_stores": stores}), [], None, ())
    assert "\n    list price: a page, 2025-12\n" in plan_text(plan, resources=True)
    assert "2025-12" not in plan_text(plan), "the short form is read by people who know"
    assert "price_sources" not in plan.document()["cost"]
