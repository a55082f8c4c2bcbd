"""Between the messages of ``shop.inventory.v1`` and the use cases."""

from dataclasses import dataclass

from shop.inventory.v1 import inventory_pb2 as pb
from shop.inventory.v1 import inventory_pb2_grpc as pb_grpc

from services.common.call import current_call
from services.common.rpc.messages import (
    duration,
    joined,
    masked_fields,
    moment,
    money,
    money_message,
    one_too_many,
    prepared,
    timestamp,
    write_moment,
    write_money,
)
from services.common.rpc.methods import Context
from services.inventory.model import (
    MAX_ITEMS,
    MAX_TAGS,
    PRODUCT_FIELDS,
    Adjustment,
    HeldFilter,
    Product,
    ProductDraft,
    ProductFilter,
    Reservation,
    ReservationItem,
    ReservedLine,
)
from services.inventory.usecases import InventoryUseCases


@dataclass(frozen=True, slots=True)
class InventoryHandler(pb_grpc.InventoryServiceServicer):
    """The Inventory service as gRPC sees it."""

    usecases: InventoryUseCases

    async def CreateProduct(
        self, request: pb.CreateProductRequest, context: Context
    ) -> pb.CreateProductResponse:
        """Add a product."""
        product = await self.usecases.create_product(_draft(request.product), request.request_id)
        response = pb.CreateProductResponse()
        _write_product(response.product, product)
        return response

    async def GetProduct(
        self, request: pb.GetProductRequest, context: Context
    ) -> pb.GetProductResponse:
        """Return one product."""
        product = await self.usecases.get_product(request.product_id)
        return prepared(product, _one_product)

    async def BatchGetProducts(
        self, request: pb.BatchGetProductsRequest, context: Context
    ) -> pb.BatchGetProductsResponse:
        """Return several products at once."""
        products, missing = await self.usecases.batch_get_products(request.product_ids)
        # The field of the one product has the number of the field of the many.
        return joined(
            (prepared(product, _one_product) for product in products),
            pb.BatchGetProductsResponse(missing_ids=missing),
        )

    async def ListProducts(
        self, request: pb.ListProductsRequest, context: Context
    ) -> pb.ListProductsResponse:
        """Return a page of the catalogue."""
        page = await self.usecases.list_products(
            ProductFilter(request.category, request.query), request.page_size, request.page_token
        )
        response = pb.ListProductsResponse(next_page_token=page.next_page_token)
        for product in page.items:
            _write_product(response.products.add(), product)
        return response

    async def UpdateProduct(
        self, request: pb.UpdateProductRequest, context: Context
    ) -> pb.UpdateProductResponse:
        """Change fields of a product."""
        product = await self.usecases.update_product(
            request.product.product_id,
            _draft(request.product),
            masked_fields(request.product, request.update_mask, PRODUCT_FIELDS),
            request.product.version,
        )
        response = pb.UpdateProductResponse()
        _write_product(response.product, product)
        return response

    async def AdjustStock(
        self, request: pb.AdjustStockRequest, context: Context
    ) -> pb.AdjustStockResponse:
        """Move the stock of a product by an amount."""
        product = await self.usecases.adjust_stock(
            Adjustment(request.request_id, request.product_id, request.delta)
        )
        response = pb.AdjustStockResponse()
        _write_product(response.product, product)
        return response

    async def DeleteProduct(
        self, request: pb.DeleteProductRequest, context: Context
    ) -> pb.DeleteProductResponse:
        """Remove a product."""
        await self.usecases.delete_product(request.product_id)
        return pb.DeleteProductResponse()

    async def ReserveStock(
        self, request: pb.ReserveStockRequest, context: Context
    ) -> pb.ReserveStockResponse:
        """Hold stock back."""
        items = [
            ReservationItem(item.product_id, item.quantity)
            for item in one_too_many(request.items, MAX_ITEMS)
        ]
        lines = await self.usecases.reserve_stock(_caller(), request.reservation_id, items)
        return pb.ReserveStockResponse(lines=[_line(line) for line in lines])

    async def CommitReservation(
        self, request: pb.CommitReservationRequest, context: Context
    ) -> pb.CommitReservationResponse:
        """Sell reserved stock."""
        await self.usecases.commit_reservation(
            _caller(), request.reservation_id, irrevocable=request.irrevocable
        )
        return pb.CommitReservationResponse()

    async def ReleaseReservation(
        self, request: pb.ReleaseReservationRequest, context: Context
    ) -> pb.ReleaseReservationResponse:
        """Give stock back."""
        await self.usecases.release_reservation(_caller(), request.reservation_id)
        return pb.ReleaseReservationResponse()

    async def ListHeldReservations(
        self, request: pb.ListHeldReservationsRequest, context: Context
    ) -> pb.ListHeldReservationsResponse:
        """Return a page of open reservations."""
        wanted = HeldFilter(
            _caller(),
            moment(request.create_time_before, "create_time_before")
            if request.HasField("create_time_before")
            else None,
            duration(request.min_age, "min_age") if request.HasField("min_age") else None,
        )
        page = await self.usecases.list_held_reservations(
            wanted, request.page_size, request.page_token
        )
        return pb.ListHeldReservationsResponse(
            reservations=[_held(reservation) for reservation in page.items],
            next_page_token=page.next_page_token,
        )


def _caller() -> str:
    """Return the name of the calling service."""
    return current_call().principal.subject


def _draft(message: pb.Product) -> ProductDraft:
    return ProductDraft(
        sku=message.sku,
        name=message.name,
        description=message.description,
        category=message.category,
        price=money(message.price),
        stock=message.stock,
        tags=tuple(one_too_many(message.tags, MAX_TAGS)),
    )


def _one_product(product: Product) -> pb.GetProductResponse:
    response = pb.GetProductResponse()
    _write_product(response.product, product)
    return response


def _write_product(message: pb.Product, product: Product) -> None:
    # Filled in place: a message that is given to another one is copied.
    message.product_id = product.product_id
    message.sku = product.sku
    message.name = product.name
    message.description = product.description
    message.category = product.category
    write_money(message.price, product.price)
    message.stock = product.stock
    message.tags.extend(product.tags)
    message.version = product.version
    write_moment(message.create_time, product.create_time)
    write_moment(message.update_time, product.update_time)


def _line(line: ReservedLine) -> pb.ReservedLine:
    return pb.ReservedLine(
        product_id=line.product_id,
        name=line.name,
        quantity=line.quantity,
        unit_price=money_message(line.unit_price),
    )


def _held(reservation: Reservation) -> pb.HeldReservation:
    return pb.HeldReservation(
        reservation_id=reservation.reservation_id,
        create_time=timestamp(reservation.create_time),
    )
