"""The storage of SCIM keeps the contract of its library, on each kind of metadata database."""

import pytest
from scim2_models import ScimProvider
from scim2_server.storage import AsyncScimStorage
from scim2_server.testing import AsyncScimStorageContract

from auth.attribution import Attribution, SubjectChange
from auth.directory.scim_service import build_provider
from auth.directory.scim_storage import ScimDirectory, ScimStorage
from auth.groups import Groups
from onedoor.storage.database import MetadataDatabase


async def begin_nothing(change: SubjectChange) -> None:
    return None


class TestScimStorage(AsyncScimStorageContract):
    @pytest.fixture
    def provider(self) -> ScimProvider:
        return build_provider()

    @pytest.fixture
    def async_storage(self, state: MetadataDatabase, provider: ScimProvider) -> AsyncScimStorage:
        directory = ScimDirectory(database=state, groups=Groups())
        return ScimStorage(directory, provider, Attribution(actor="scim", record_id="0" * 26), begin_nothing)


for name in [name for name in dir(AsyncScimStorageContract) if name.startswith("test_cursor")]:
    setattr(TestScimStorage, name, None)  # pages by cursors (RFC 9865) are not offered
