"""`calculate`: sums, differences, products and quotients of numbers, and nothing else of Python."""

import ast
import operator

LENGTH_MAX = 200
OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


class BadExpression(ArithmeticError):
    """The expression is not plain arithmetic; its text says in what way."""


def calculate(expression: str) -> float:
    """The value of `expression`. Raises BadExpression or ZeroDivisionError where it has none."""
    if any(char not in "0123456789+-*/(). " for char in expression):
        raise BadExpression("invalid characters in expression")
    if len(expression) > LENGTH_MAX:
        raise BadExpression(f"the expression is longer than {LENGTH_MAX} characters")
    try:
        return _value(ast.parse(expression.strip(), mode="eval").body)
    except SyntaxError as error:
        raise BadExpression("invalid syntax") from error


def _value(node: ast.expr) -> float:
    match node:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _value(operand)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            return float(OPERATORS[type(op)](_value(left), _value(right)))
        case _:
            raise BadExpression("only + - * / and parentheses are understood")
