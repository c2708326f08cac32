from pathlib import Path
import pytest
from lugha.checkpoints.publish import publish
from lugha.checkpoints.canary import check_store
from lugha.checkpoints.stores.protocol import StoreError
from lugha.checkpoints.stores.open import open_store
from tests.servers.rclone import RcloneS3, point_client_at
from tests.servers.faults import FaultyLine
from tests.checkpoints.conftest import *
def test_it(three, tmp_path, monkeypatch):
    with RcloneS3(tmp_path/'s') as s, FaultyLine(s.endpoint) as line:
        point_client_at(s.environment, monkeypatch, endpoint=line.url)
        store=open_store(f"s3://{s.bucket('buck')}/x")
        print(check_store(store, private=True, run=None))
        n=store.name_for('run-20261120T104210Z-3fa9',3)
        line.flip_download(at=100, match='GET .*optimiser')
        with pytest.raises(StoreError) as e: publish(store,n,three/'step-00000003')
        print(e.value)
        publish(store,n,three/'step-00000003')
        print(store.entries())
        f=open_store(str(tmp_path/'drive')); check_store(f, private=True, run=None)
        publish(f,f.name_for('run-20261120T104210Z-3fa9',3),three/'step-00000003'); print(f.entries())
