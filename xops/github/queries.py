"""The GraphQL queries.

What a query costs: every list that has to be looked up counts as one request, a list within a list
once for each element asked for; the sum is divided by 100 and rounded, and costs at least 1 point.
So a list without lists in it is cheap however long, and lists of pull requests are asked for by the
ids of exactly those whose files and reviews are not known yet, whatever repository they are of.
Source: GitHub, "Rate limits and query limits for the GraphQL API".
"""

from __future__ import annotations

from collections.abc import Sequence

PAGE = 100
"""Of a list without lists in it; GitHub's largest."""

DETAILS = 74
"""Pull requests a question for files and reviews: 74 x 2 = 148 lists, 1 point."""

REPOSITORIES = 20
"""Repositories in one question: 20 x (commits, pull requests) = 40 lists, 1 point."""

SEARCHES = 50
"""Searches in one question: 50 lists, 1 point."""

BRANCHES = 100
"""Branches in one question: no list, 1 point."""

_LIMIT = "rateLimit { limit cost remaining resetAt }"

_COMMITS = """
pageInfo { hasNextPage endCursor }
nodes {
  oid
  committedDate
  message
  author { name email user { login } }
  committer { name email user { login } }
}
"""

_LISTED = """
pageInfo { hasNextPage endCursor }
nodes { id updatedAt }
"""

_REVIEWS = """
pageInfo { hasNextPage endCursor }
nodes { submittedAt authorAssociation author { __typename login ... on User { name } } }
"""

_OVERVIEW = """
fragment Overview on Repository {
  id
  nameWithOwner
  isArchived
  mailmap: object(expression: "HEAD:.mailmap") { ... on Blob { oid text isTruncated } }
}
"""

_OF_PULL_REQUEST = """
      id number url title baseRefName headRefName mergedAt updatedAt
      additions deletions changedFiles authorAssociation
      author { __typename login ... on User { name } }
      mergeCommit { oid }
""".strip()

PULL_REQUESTS = f"""
query PullRequestDetails($ids: [ID!]!) {{
  {_LIMIT}
  nodes(ids: $ids) {{
    ... on PullRequest {{
      {_OF_PULL_REQUEST}
      files(first: 100) {{ nodes {{ path changeType }} }}
      reviews(first: 100) {{ {_REVIEWS} }}
    }}
  }}
}}
"""

WITHOUT_LISTS = f"""
query PullRequestAlone($ids: [ID!]!) {{
  {_LIMIT}
  nodes(ids: $ids) {{
    ... on PullRequest {{
      {_OF_PULL_REQUEST}
    }}
  }}
}}
"""

REVIEWS = f"""
query Reviews($id: ID!, $after: String) {{
  {_LIMIT}
  node(id: $id) {{
    ... on PullRequest {{ reviews(first: 100, after: $after) {{ {_REVIEWS} }} }}
  }}
}}
"""

WHEREABOUTS = f"""
query Whereabouts($id: ID!) {{
  {_LIMIT}
  node(id: $id) {{ ... on Repository {{ id nameWithOwner }} }}
}}
"""

VIEWER = f"query Viewer {{ {_LIMIT} viewer {{ login }} }}"

COMMENT_EDITS = f"""
query CommentEdits($id: ID!, $after: String) {{
  {_LIMIT}
  node(id: $id) {{
    ... on IssueComment {{
      userContentEdits(first: {PAGE}, after: $after) {{
        pageInfo {{ hasNextPage endCursor }}
        nodes {{ editedAt editor {{ __typename login }} }}
      }}
    }}
  }}
}}
"""
"""Who has edited a comment, and when. An edit that is deleted from its history stays in it."""


def overview(histories: Sequence[bool]) -> str:
    """A question about so many repositories: `r0`, `r1`, ... of $owner0, $name0, $since0, ...

    The answer has for each its id, its name of today, whether it is archived, its default branch
    with the first $commits0 commits since, its `.mailmap`, and the ids of the $pulls0 merged pull
    requests that were updated last. Without its history, a repository has no commits in it.
    """
    declared = ", ".join(
        f"$owner{i}: String!, $name{i}: String!, $pulls{i}: Int!"
        + f", $since{i}: GitTimestamp!, $commits{i}: Int!" * wanted
        for i, wanted in enumerate(histories)
    )
    parts = "\n".join(
        f"""r{i}: repository(owner: $owner{i}, name: $name{i}) {{
          ...Overview
          pullRequests(
            states: MERGED, first: $pulls{i}, orderBy: {{field: UPDATED_AT, direction: DESC}}
          ) {{ {_LISTED} }}
          defaultBranchRef {{
            name
            target {{
              ... on Commit {{
                oid
                committedDate
                {_history(i) if wanted else ""}
              }}
            }}
          }}
        }}"""
        for i, wanted in enumerate(histories)
    )
    return f"query Repositories({declared}) {{\n{_LIMIT}\n{parts}\n}}\n{_OVERVIEW}"


def _history(index: int) -> str:
    return f"history(first: $commits{index}, since: $since{index}) {{ {_COMMITS} }}"


def pages(count: int) -> str:
    """Further pages of `count` lists of pull requests: `p0`, `p1`, ..."""
    declared = ", ".join(
        f"$owner{i}: String!, $name{i}: String!, $first{i}: Int!, $after{i}: String"
        for i in range(count)
    )
    parts = "\n".join(
        f"""p{i}: repository(owner: $owner{i}, name: $name{i}) {{
          id
          pullRequests(
            states: MERGED, first: $first{i}, after: $after{i}
            orderBy: {{field: UPDATED_AT, direction: DESC}}
          ) {{ {_LISTED} }}
        }}"""
        for i in range(count)
    )
    return f"query PullRequestPages({declared}) {{\n{_LIMIT}\n{parts}\n}}\n"


def histories(count: int) -> str:
    """Further pages of the histories of `count` commits $oid0, $oid1, ...: `h0`, `h1`, ..."""
    declared = ", ".join(
        f"$owner{i}: String!, $name{i}: String!, $oid{i}: GitObjectID!,"
        f" $since{i}: GitTimestamp!, $first{i}: Int!, $after{i}: String"
        for i in range(count)
    )
    parts = "\n".join(
        f"""h{i}: repository(owner: $owner{i}, name: $name{i}) {{
          id
          object(oid: $oid{i}) {{
            ... on Commit {{
              history(first: $first{i}, since: $since{i}, after: $after{i}) {{ {_COMMITS} }}
            }}
          }}
        }}"""
        for i in range(count)
    )
    return f"query Histories({declared}) {{\n{_LIMIT}\n{parts}\n}}\n"


def merged_counts(count: int) -> str:
    """A question to the search index: how many results has each of $query0, $query1, ..."""
    declared = ", ".join(f"$query{i}: String!" for i in range(count))
    parts = "\n".join(
        f"s{i}: search(type: ISSUE, query: $query{i}, first: 1) {{ issueCount }}"
        for i in range(count)
    )
    return f"query MergedCounts({declared}) {{\n{_LIMIT}\n{parts}\n}}\n"


def branches(count: int) -> str:
    """Which of $branch0, $branch1, ... (`refs/heads/NAME`) are there: `b0`, `b1`, ..."""
    declared = ", ".join(f"$branch{i}: String!" for i in range(count))
    parts = "\n".join(f"b{i}: ref(qualifiedName: $branch{i}) {{ name }}" for i in range(count))
    return (
        f"query Branches($owner: String!, $name: String!, {declared}) {{\n"
        f"{_LIMIT}\nrepository(owner: $owner, name: $name) {{\n{parts}\n}}\n}}\n"
    )
