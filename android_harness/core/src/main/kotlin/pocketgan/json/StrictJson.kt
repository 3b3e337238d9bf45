package pocketgan.json

import java.math.BigInteger
import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonNull
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonPrimitive

/** Text that is no JSON, or JSON that not every reader takes for the same. */
sealed class JsonProblem(message: String) : Exception(message) {
    /** No JSON at all. */
    class Syntax(message: String) : JsonProblem(message)

    /** The end of a sentence about the document: "has an object with the same key twice". */
    class Ambiguous(message: String) : JsonProblem(message)

    /** Nested deeper than any document of ours. */
    class TooDeep : JsonProblem("is nested too deeply")
}

/** A JSON document. [flaw] is what a strict reader finds in it beyond its syntax, null where there is nothing. */
class JsonDocument(val value: JsonElement, val flaw: String?)

/**
 * Reads JSON as RFC 8259 has it, which kotlinx.serialization's own reader does not (it takes `{"a": foo}`).
 *
 * Numbers keep their kind: one that is written with a point or an exponent stays a fraction. With [strict], equal keys,
 * NaN and Infinity, and numbers out of range are refused; without it the last of two equal keys counts, as in Python.
 */
class StrictJson(private val text: String, private val strict: Boolean = true) {
    private var at = 0
    private var depth = 0
    private var flaw: String? = null

    /** @throws JsonProblem what is wrong. */
    fun read(): JsonDocument {
        skipSpace()
        val value = value()
        skipSpace()
        if (at < text.length) syntax("Extra data")
        return JsonDocument(value, flaw)
    }

    private fun value(): JsonElement {
        when (peek()) {
            '{' -> return nested(::jsonObject)
            '[' -> return nested(::jsonArray)
            '"' -> return JsonPrimitive(string())
        }
        for ((word, value) in WORDS) if (take(word)) return value
        for ((word, value) in CONSTANTS) {
            if (!take(word)) continue
            if (strict) throw JsonProblem.Ambiguous("holds $word, which is not JSON")
            return JsonPrimitive(value)
        }
        return number()
    }

    private fun nested(read: () -> JsonElement): JsonElement {
        depth += 1
        if (depth > MOST_DEPTH) throw JsonProblem.TooDeep()
        if (depth > DEPTH_OF_READERS) flaw = flaw ?: "recursion limit exceeded"
        return read().also { depth -= 1 }
    }

    private fun jsonObject(): JsonElement {
        val fields = LinkedHashMap<String, JsonElement>()
        var count = 0
        at += 1
        skipSpace()
        if (take("}")) return JsonObject(fields)
        do {
            skipSpace()
            if (peek() != '"') syntax("Expecting property name enclosed in double quotes")
            val key = string()
            skipSpace()
            if (!take(":")) syntax("Expecting ':' delimiter")
            skipSpace()
            fields[key] = value()
            count += 1
            skipSpace()
        } while (take(","))
        if (!take("}")) syntax("Expecting ',' delimiter")
        // Readers differ in which of two equal keys they keep, so there may be none.
        if (strict && count != fields.size) throw JsonProblem.Ambiguous("has an object with the same key twice")
        return JsonObject(fields)
    }

    private fun jsonArray(): JsonElement {
        val items = ArrayList<JsonElement>()
        at += 1
        skipSpace()
        if (take("]")) return JsonArray(items)
        do {
            skipSpace()
            items += value()
            skipSpace()
        } while (take(","))
        if (!take("]")) syntax("Expecting ',' delimiter")
        return JsonArray(items)
    }

    private fun string(): String {
        val begin = at++
        val made = StringBuilder()
        while (true) {
            if (at >= text.length) syntax("Unterminated string", begin)
            val char = text[at++]
            when {
                char == '"' -> break
                char < ' ' -> syntax("Invalid control character", at - 1)
                char == '\\' -> made.append(escaped())
                else -> made.append(char)
            }
        }
        if (flaw == null && hasLoneSurrogate(made)) flaw = "lone surrogate in hex escape"
        return made.toString()
    }

    private fun escaped(): Char {
        if (at >= text.length) syntax("Unterminated string")
        val char = text[at++]
        if (char == 'u') {
            val digits = text.substring(at, minOf(at + 4, text.length))
            if (digits.length < 4 || digits.any { it !in HEX }) syntax("Invalid \\uXXXX escape")
            at += 4
            return digits.toInt(16).toChar()
        }
        return ESCAPES[char] ?: syntax("Invalid \\escape", at - 1)
    }

    private fun number(): JsonElement {
        val begin = at
        if (peek() == '-') at += 1
        when (peek()) {
            '0' -> at += 1
            in '1'..'9' -> skipDigits()
            else -> syntax("Expecting value", begin)
        }
        var whole = true
        if (peek() == '.' && text.getOrElse(at + 1) { ' ' } in '0'..'9') {
            at += 1
            skipDigits()
            whole = false
        }
        if (hasExponent()) {
            at += 2
            skipDigits()
            whole = false
        }
        val digits = text.substring(begin, at)
        return if (whole) integer(digits) else fraction(digits)
    }

    private fun hasExponent(): Boolean {
        if (peek() != 'e' && peek() != 'E') return false
        val next = text.getOrElse(at + 1) { ' ' }
        return next in '0'..'9' || (next in "+-" && text.getOrElse(at + 2) { ' ' } in '0'..'9')
    }

    private fun integer(digits: String): JsonElement {
        // As in Python, where reading them takes quadratic time.
        require(digits.length <= MOST_DIGITS) { "a number of ${digits.length} digits" }
        return JsonPrimitive(digits.toLongOrNull() ?: BigInteger(digits))
    }

    private fun fraction(digits: String): JsonElement {
        val value = digits.toDouble()
        if (strict && !value.isFinite()) {
            throw JsonProblem.Ambiguous("holds the number ${quote(digits)}, which is out of range")
        }
        return JsonPrimitive(value)
    }

    private fun peek(): Char = text.getOrElse(at) { '\u0000' }

    private fun take(word: String): Boolean = text.startsWith(word, at).also { if (it) at += word.length }

    private fun skipSpace() {
        while (peek() in SPACE) at += 1
    }

    private fun skipDigits() {
        while (peek() in '0'..'9') at += 1
    }

    private fun syntax(message: String, where: Int = at): Nothing {
        val line = 1 + text.substring(0, minOf(where, text.length)).count { it == '\n' }
        throw JsonProblem.Syntax("$message in line $line")
    }

    private companion object {
        /** Where Python's readers stop: pydantic's at 200, its own at about 1,000. */
        const val DEPTH_OF_READERS = 200
        const val MOST_DEPTH = 900
        const val MOST_DIGITS = 4300
        const val SPACE = " \t\n\r"
        const val HEX = "0123456789abcdefABCDEF"
        val WORDS = mapOf("true" to JsonPrimitive(true), "false" to JsonPrimitive(false), "null" to JsonNull)
        val CONSTANTS =
            mapOf(
                "NaN" to Double.NaN,
                "Infinity" to Double.POSITIVE_INFINITY,
                "-Infinity" to Double.NEGATIVE_INFINITY,
            )
        val ESCAPES =
            mapOf(
                '"' to '"', '\\' to '\\', '/' to '/',
                'b' to '\b', 'f' to '\u000c', 'n' to '\n', 'r' to '\r', 't' to '\t',
            )
    }
}

private fun hasLoneSurrogate(text: CharSequence): Boolean {
    var at = 0
    while (at < text.length) {
        if (text[at].isLowSurrogate()) return true
        if (text[at].isHighSurrogate()) {
            if (at + 1 >= text.length || !text[at + 1].isLowSurrogate()) return true
            at += 1
        }
        at += 1
    }
    return false
}
