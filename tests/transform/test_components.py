"""Components against a plain search through the graph."""

import duckdb
import numpy as np
import pytest

from pipeline.transform.components import connect_components


def labels_of(nodes, links):
    con = duckdb.connect()
    con.execute("create table nodes (node bigint)")
    con.executemany("insert into nodes values (?)", [(node,) for node in nodes])
    con.execute("create table links (node bigint, other_node bigint)")
    if links:
        con.executemany("insert into links values (?, ?)", links)
    connect_components(con, "nodes", "links", "labels")
    return dict(con.execute("select node, label from labels").fetchall())


def searched(nodes, links):
    neighbours = {node: set() for node in nodes}
    for one, other in links:
        neighbours[one].add(other)
        neighbours[other].add(one)
    labels = {}
    for start in sorted(nodes):
        waiting = [start]
        while waiting:
            node = waiting.pop()
            if node not in labels:
                labels[node] = start
                waiting.extend(neighbours[node])
    return labels


def test_no_links_leave_every_node_alone():
    assert labels_of([3, 5, 8], []) == {3: 3, 5: 5, 8: 8}


def test_a_chain_hangs_together_whatever_the_order_of_its_links():
    assert labels_of([1, 2, 5, 7, 9], [(9, 7), (2, 9), (7, 7), (2, 7)]) == {1: 1, 2: 2, 5: 5, 7: 2, 9: 2}


@pytest.mark.parametrize("seed", range(20))
def test_random_graphs_have_the_components_that_a_search_finds(seed):
    rng = np.random.default_rng(seed)
    nodes = sorted(rng.choice(1000, 60, replace=False).tolist())
    links = [tuple(rng.choice(nodes, 2).tolist()) for _ in range(int(rng.integers(0, 60)))]
    assert labels_of(nodes, links) == searched(nodes, links)
