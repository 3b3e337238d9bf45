@file:OptIn(ExperimentalSerializationApi::class)

package pocketgan.json

import java.math.BigInteger
import kotlinx.serialization.ExperimentalSerializationApi
import kotlinx.serialization.descriptors.PrimitiveKind
import kotlinx.serialization.descriptors.SerialDescriptor
import kotlinx.serialization.descriptors.SerialKind
import kotlinx.serialization.descriptors.StructureKind
import kotlinx.serialization.descriptors.elementNames
import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonNull
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonPrimitive

/** What is wrong at one place of a document; [place] is the keys and indices that lead there. */
data class Violation(val place: List<String>, val message: String) {
    /** Whether the field is merely not known. */
    val isUnknownField: Boolean get() = message == UNKNOWN_FIELD

    override fun toString(): String = if (place.isEmpty()) message else "${place.joinToString(".")}: $message"

    internal companion object {
        const val UNKNOWN_FIELD = "Extra inputs are not permitted"
    }
}

/**
 * Everything in [value] that the model with [descriptor] and its rules (Rules.kt) does not allow, in the model's order.
 *
 * Types are strict: no text for a number, no 1.0 for an integer. The words are those of Python's pydantic, so that one
 * file gets one reason wherever it is read.
 */
fun violations(value: JsonElement, descriptor: SerialDescriptor): List<Violation> =
    ArrayList<Violation>().also { Validator(it).check(value, descriptor, emptyList(), emptyList()) }

private class Validator(private val found: MutableList<Violation>) {
    fun check(value: JsonElement, type: SerialDescriptor, rules: List<Annotation>, place: List<String>) {
        if (value is JsonNull && type.isNullable) return
        when (type.kind) {
            StructureKind.CLASS -> checkObject(value, type, place)
            StructureKind.LIST -> checkList(value, type, rules, place)
            StructureKind.MAP -> checkMap(value, type, rules, place)
            SerialKind.ENUM -> checkEnum(value, type, place)
            PrimitiveKind.STRING -> checkText(value, rules, place)
            PrimitiveKind.LONG -> checkInteger(value, rules, place)
            PrimitiveKind.DOUBLE -> checkNumber(value, rules, place)
            PrimitiveKind.BOOLEAN -> {
                val primitive = value as? JsonPrimitive
                val isBoolean = primitive != null && !primitive.isString && primitive.content in BOOLEANS
                if (!isBoolean) report(place, "Input should be a valid boolean")
            }
            else -> Unit // any JSON
        }
    }

    private fun checkObject(value: JsonElement, type: SerialDescriptor, place: List<String>) {
        if (value !is JsonObject) return report(place, "Input should be an object")
        for (index in 0 until type.elementsCount) {
            val name = type.getElementName(index)
            val field = value[name]
            if (field != null) {
                check(field, type.getElementDescriptor(index), type.getElementAnnotations(index), place + name)
            } else if (!type.isElementOptional(index)) {
                report(place + name, "Field required")
            }
        }
        val known = type.elementNames.toSet()
        for (name in value.keys) if (name !in known) report(place + name, Violation.UNKNOWN_FIELD)
    }

    private fun checkList(value: JsonElement, type: SerialDescriptor, rules: List<Annotation>, place: List<String>) {
        if (value !is JsonArray) return report(place, "Input should be a valid array")
        val tuple = rules.firstOf<Tuple>()
        val items = rules.firstOf<Items>()
        val most = tuple?.size ?: items?.max ?: Int.MAX_VALUE
        if (value.size > most) {
            val kind = if (tuple != null) "Tuple" else "List"
            return report(place, "$kind should have at most ${count(most, "item")} after validation, not ${value.size}")
        }
        val before = found.size
        value.forEachIndexed { index, item -> check(item, type.getElementDescriptor(0), rules, place + "$index") }
        for (missing in value.size until (tuple?.size ?: 0)) report(place + "$missing", "Field required")
        if (items != null && value.size < items.min && found.size == before) {
            report(place, "List should have at least ${count(items.min, "item")} after validation, not ${value.size}")
        }
    }

    private fun checkMap(value: JsonElement, type: SerialDescriptor, rules: List<Annotation>, place: List<String>) {
        if (value !is JsonObject) return report(place, "Input should be an object")
        for ((key, item) in value) check(item, type.getElementDescriptor(1), rules, place + key)
    }

    private fun checkEnum(value: JsonElement, type: SerialDescriptor, place: List<String>) {
        val names = type.elementNames.toList()
        if (value is JsonPrimitive && value.isString && value.content in names) return
        val quoted = names.map { "'$it'" }
        val shown = if (quoted.size == 1) quoted[0] else "${quoted.dropLast(1).joinToString(", ")} or ${quoted.last()}"
        report(place, "Input should be $shown")
    }

    private fun checkText(value: JsonElement, rules: List<Annotation>, place: List<String>) {
        if (value !is JsonPrimitive || !value.isString) return report(place, "Input should be a valid string")
        val text = value.content
        val length = text.codePointCount(0, text.length)
        val characters = rules.firstOf<Characters>()
        if (characters != null && length > characters.max) {
            return report(place, "String should have at most ${count(characters.max, "character")}")
        }
        if (characters != null && length < characters.min) {
            return report(place, "String should have at least ${count(characters.min, "character")}")
        }
        val pattern = rules.firstOf<Matches>()?.pattern ?: return
        if (!Regex(pattern.removePrefix("^").removeSuffix("$")).matches(text)) {
            report(place, "String should match pattern '$pattern'")
        }
    }

    private fun checkInteger(value: JsonElement, rules: List<Annotation>, place: List<String>) {
        val digits = (value as? JsonPrimitive)?.takeIf { isNumber(it) && isWhole(it) }?.content
            ?: return report(place, "Input should be a valid integer")
        val number = BigInteger(digits)
        if (breaksBound(rules, place) { number.compareTo(BigInteger.valueOf(it)) }) return
        // Python's integers have no end; those of the wire are 64-bit (docs/bundle.md).
        if (number.bitLength() > 63) report(place, "Input should be less than or equal to ${Long.MAX_VALUE}")
    }

    private fun checkNumber(value: JsonElement, rules: List<Annotation>, place: List<String>) {
        val number = (value as? JsonPrimitive)?.takeIf(::isNumber)?.content?.toDouble()
            ?: return report(place, "Input should be a valid number")
        if (!number.isFinite()) return report(place, "Input should be a finite number")
        breaksBound(rules, place) { number.compareTo(it.toDouble()) }
    }

    private fun breaksBound(rules: List<Annotation>, place: List<String>, against: (Long) -> Int): Boolean {
        for (rule in rules) {
            val broken = when {
                rule is AtLeast && against(rule.bound) < 0 -> "greater than or equal to ${rule.bound}"
                rule is Above && against(rule.bound) <= 0 -> "greater than ${rule.bound}"
                rule is AtMost && against(rule.bound) > 0 -> "less than or equal to ${rule.bound}"
                else -> continue
            }
            report(place, "Input should be $broken")
            return true
        }
        return false
    }

    private fun report(place: List<String>, message: String) {
        found += Violation(place, message)
    }

    private inline fun <reified T : Annotation> List<Annotation>.firstOf(): T? = firstNotNullOfOrNull { it as? T }

    private fun isNumber(value: JsonPrimitive) = !value.isString && value !is JsonNull && value.content !in BOOLEANS

    private fun isWhole(value: JsonPrimitive) = value.content.all { it in '0'..'9' || it == '-' }

    private fun count(number: Int, thing: String) = if (number == 1) "1 $thing" else "$number ${thing}s"

    private companion object {
        val BOOLEANS = setOf("true", "false")
    }
}
