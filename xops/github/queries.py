"""The GraphQL queries.

What a query costs: every list that has to be looked up counts as one request, a list within a list
once for each element asked for; the sum is divided by 100 and rounded, and costs at least 1 point.
Source: GitHub, "Rate limits and query limits for the GraphQL API".
"""

from __future__ import annotations

PAGE = 49
"""Pull requests a page: 1 + 49 x (files, reviews) = 99 lists, 1 point."""

REPOSITORIES = 20
"""Repositories in one question: 20 x (newest, history) = 40 lists, 1 point, 2,000 commits."""

SEARCHES = 50
"""Searches in one question: 50 lists, 1 point."""

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

_OVERVIEW = """
fragment Overview on Repository {
  id
  nameWithOwner
  mailmap: object(expression: "HEAD:.mailmap") { ... on Blob { text isTruncated } }
  pullRequests(
    states: MERGED, first: 1, orderBy: {field: UPDATED_AT, direction: DESC}
  ) { nodes { updatedAt } }
}
"""

MERGED = f"""
query MergedPullRequests($owner: String!, $name: String!, $first: Int!, $after: String) {{
  {_LIMIT}
  repository(owner: $owner, name: $name) {{
    id
    pullRequests(
      states: MERGED, first: $first, after: $after
      orderBy: {{field: UPDATED_AT, direction: DESC}}
    ) {{
      pageInfo {{ hasNextPage endCursor }}
      nodes {{
        id number url title baseRefName headRefName mergedAt updatedAt
        additions deletions changedFiles
        author {{ __typename login }}
        files(first: 100) {{ nodes {{ path changeType }} }}
        reviews(first: 100) {{
          pageInfo {{ hasNextPage }}
          nodes {{ submittedAt author {{ __typename login }} }}
        }}
      }}
    }}
  }}
}}
"""

HISTORY = f"""
query History($owner: String!, $name: String!, $since: GitTimestamp!, $after: String) {{
  {_LIMIT}
  repository(owner: $owner, name: $name) {{
    id
    defaultBranchRef {{
      target {{
        ... on Commit {{
          oid
          history(first: 100, since: $since, after: $after) {{ {_COMMITS} }}
        }}
      }}
    }}
  }}
}}
"""

REVIEWS = f"""
query Reviews($id: ID!, $after: String) {{
  {_LIMIT}
  node(id: $id) {{
    ... on PullRequest {{
      reviews(first: 100, after: $after) {{
        pageInfo {{ hasNextPage endCursor }}
        nodes {{ submittedAt author {{ __typename login }} }}
      }}
    }}
  }}
}}
"""


def overview(count: int) -> str:
    """A question about `count` repositories: `r0`, `r1`, ... of $owner0, $name0, $since0, ...

    The answer has for each its id, its name of today, its default branch with the commits since,
    its `.mailmap`, and when its newest merged pull request was updated.
    """
    declared = ", ".join(
        f"$owner{i}: String!, $name{i}: String!, $since{i}: GitTimestamp!" for i in range(count)
    )
    parts = "\n".join(
        f"""r{i}: repository(owner: $owner{i}, name: $name{i}) {{
          ...Overview
          defaultBranchRef {{
            name
            target {{
              ... on Commit {{ oid history(first: 100, since: $since{i}) {{ {_COMMITS} }} }}
            }}
          }}
        }}"""
        for i in range(count)
    )
    return f"query Repositories({declared}) {{\n{_LIMIT}\n{parts}\n}}\n{_OVERVIEW}"


def merged_counts(count: int) -> str:
    """A question to the search index: how many results has each of $query0, $query1, ..."""
    declared = ", ".join(f"$query{i}: String!" for i in range(count))
    parts = "\n".join(
        f"s{i}: search(type: ISSUE, query: $query{i}, first: 1) {{ issueCount }}"
        for i in range(count)
    )
    return f"query MergedCounts({declared}) {{\n{_LIMIT}\n{parts}\n}}\n"
