"""The rules of the official FOCUS validator that ask what rules of xOps ask, and how they differ.

Source: the model 1.2.0.1 that focus-validator 2.2.1 carries.
"""

from typing import Any

_TAX = {"CheckFunction": "CheckValue", "ColumnName": "ChargeCategory", "Value": "Tax"}

_DIFFERENT = {
    "PricingCurrencyEffectiveCost-C-004-M": "looks at PricingCurrencyListUnitPrice instead",
    "InvoiceId-C-005-C": "asks for an invoice of every charge, also of a month that is not closed",
    "PricingQuantity-C-008-M": "asks for a quantity where FOCUS lets it be null",
}


def explain_difference(name: str, rule: dict[str, Any]) -> str | None:
    """Why a rule finds something else than the specification asks; None: it should not.

    Args:
        name: its id.
    """
    if name in _DIFFERENT:
        return _DIFFERENT[name]
    if rule["asks"].get("CheckFunction") == "OR":
        return "holds whatever the values are: what is in none of a list is not found"
    if "ChargeClass" in str(rule["where"]):
        return "null is not 'not Correction' to it, so that it looks at no ordinary charge"
    return None


def find_equal(rule: dict[str, Any]) -> str | None:
    """The id of xOps' rule that asks the same; None: there is none, or it is none of columns."""
    asks, where = rule["asks"], rule["where"]
    column = asks.get("ColumnName", "")
    match asks.get("CheckFunction"):
        case "ColumnPresent" if rule["keyword"] != "MAY":
            return f"{column}.present"
        case "TypeString" | "TypeDecimal" | "TypeDateTime":
            return f"{column}.type"
        case "FormatNumeric" | "FormatDateTime" | "FormatCurrency" | "FormatUnit":
            return f"{column}.format"
        case "CheckNationalCurrency":
            return f"{column}.national"
        case "OR" if not where and rule["function"] == "Validation":
            columns = {item.get("ColumnName") for item in asks["Items"]}
            return f"{columns.pop()}.allowed" if len(columns) == 1 and None not in columns else None
        case "CheckGreaterOrEqualThanValue":
            return f"{column}.not-negative"
        case "ColumnByColumnEqualsColumnValue":
            return f"{asks['ResultColumnName']}.price-times-quantity"
        case "CheckValue" | "CheckNotValue" if asks["Value"] is None:
            return _of_null(rule, column)
    return None


def _of_null(rule: dict[str, Any], column: str) -> str | None:
    if rule["keyword"] == "MAY":
        return None
    asks, where = rule["asks"], rule["where"]
    null = asks["CheckFunction"] == "CheckValue"
    if not where:
        return None if null else f"{column}.not-null"
    if where == _TAX and null:
        return f"{column}.null-for-tax"
    other = where.get("ColumnName")
    if where.get("Value", "") is None:
        on_null = where["CheckFunction"] == "CheckValue"
        if null and on_null:
            return f"{column}.null-without-{other}"
        return None if null or on_null else f"{column}.with-{other}"
    if not null and "Usage" in str(where) and "Purchase" in str(where):
        return f"{column}.of-what-is-priced"
    return None
