import pytest
from shop.inventory.v1 import inventory_pb2
from shop.order.v1 import order_pb2
from shop.user.v1 import user_pb2

from bench.prove_cache import questions
from bench.prove_cache.calls import source_of
from bench.prove_cache.client import readable, zipf
from bench.prove_cache.plan import Assets, Customer, Plan, Stocked
from bench.prove_cache.questions import WrongObjectError

LAMP = questions.version("lamp")
CHAIR = questions.sold(Stocked("chair", 100))
PLAN = Plan(
    addresses={"user-0": "127.0.0.1:1"},
    admin="a",
    service="s",
    assets=Assets(["lamp"], [Stocked("chair", 100)], [Customer("me", "t", Stocked("bed", 5))]),
    seed=1,
    readers=2,
    clients=2,
    number=1,
)


def lamp(version: int) -> inventory_pb2.Product:
    return inventory_pb2.Product(product_id="lamp", version=version)


def chair(stock: int) -> inventory_pb2.Product:
    return inventory_pb2.Product(product_id="chair", stock=stock)


def order(number: int, status: "order_pb2.OrderStatus.ValueType") -> order_pb2.Order:
    lines = [order_pb2.OrderLine(product_id="bed", quantity=number)]
    return order_pb2.Order(user_id="me", status=status, lines=lines)


def test_a_products_rank_is_its_version_and_a_stocks_what_was_sold() -> None:
    of_lamp, of_chair = questions.product(LAMP), questions.product(CHAIR)
    assert of_lamp.ranks(inventory_pb2.GetProductResponse(product=lamp(7))) == {"product:lamp": 7}
    assert of_chair.ranks(inventory_pb2.GetProductResponse(product=chair(97))) == {"stock:chair": 3}


def test_several_products_have_a_rank_each_and_none_where_there_is_no_product() -> None:
    both = questions.products((LAMP, CHAIR))
    answer = inventory_pb2.BatchGetProductsResponse(products=[chair(100)], missing_ids=["lamp"])
    assert both.ranks(answer) == {"product:lamp": None, "stock:chair": 0}


def test_a_profiles_rank_is_the_number_in_its_name() -> None:
    answer = user_pb2.GetUserProfileResponse(
        user=user_pb2.User(user_id="me", full_name="Number 12")
    )
    assert questions.profile("me").ranks(answer) == {"profile:me": 12}


def test_the_rank_of_orders_grows_when_one_is_placed_and_when_it_is_decided() -> None:
    confirmed, pending = order_pb2.ORDER_STATUS_CONFIRMED, order_pb2.ORDER_STATUS_PENDING

    def rank(*shown: order_pb2.Order) -> int | None:
        answer = order_pb2.ListUserOrdersResponse(orders=shown)
        return questions.orders("me").ranks(answer)["orders:me"]

    ranks = [
        rank(),
        rank(order(1, pending)),
        rank(order(1, confirmed)),
        rank(order(2, pending), order(1, confirmed)),
        rank(order(2, confirmed), order(1, confirmed)),
    ]
    assert ranks == [0, 1, 2, 3, 4]


def test_somebody_elses_value_is_no_answer() -> None:
    with pytest.raises(WrongObjectError):
        questions.product(CHAIR).ranks(inventory_pb2.GetProductResponse(product=lamp(7)))
    with pytest.raises(WrongObjectError):
        questions.products((LAMP, CHAIR)).ranks(
            inventory_pb2.BatchGetProductsResponse(products=[lamp(7)])
        )
    with pytest.raises(WrongObjectError):
        questions.profile("you").ranks(
            user_pb2.GetUserProfileResponse(user=user_pb2.User(user_id="me", full_name="Number 12"))
        )


def test_an_answer_says_where_it_is_from() -> None:
    assert source_of([("x-request-id", "1"), ("x-cache", "near; age_ms=12")]) == "near"
    assert source_of([("x-cache", "mongo")]) == "mongo"
    assert source_of(None) == source_of([]) == "unlabelled"


def test_a_plan_reaches_the_client_as_it_was() -> None:
    assert Plan.from_json(PLAN.to_json()) == PLAN


def test_every_thing_is_changed_by_one_client() -> None:
    assert [PLAN.is_mine(index) for index in range(4)] == [False, True, False, True]


def test_everything_can_be_read_and_few_things_are_read_most() -> None:
    found = readable(PLAN)
    assert {question.target for question in found} == {
        *("product:lamp", "stock:chair", "stock:bed", "profile:me", "orders:me")
    }
    weights = zipf(len(found))
    assert weights == sorted(weights, reverse=True)
    assert [q.target for q in readable(PLAN)] == [q.target for q in found]
