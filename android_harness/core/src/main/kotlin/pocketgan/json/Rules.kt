@file:OptIn(ExperimentalSerializationApi::class)

package pocketgan.json

import kotlinx.serialization.ExperimentalSerializationApi
import kotlinx.serialization.SerialInfo

// What a field may hold beyond its type. The rules of numbers and texts in a list or map stand at its field.

/** A number is this or more. */
@SerialInfo
@Target(AnnotationTarget.PROPERTY)
annotation class AtLeast(val bound: Long)

/** A number is more than this. */
@SerialInfo
@Target(AnnotationTarget.PROPERTY)
annotation class Above(val bound: Long)

/** A number is this or less. */
@SerialInfo
@Target(AnnotationTarget.PROPERTY)
annotation class AtMost(val bound: Long)

/** A text has that many characters. */
@SerialInfo
@Target(AnnotationTarget.PROPERTY)
annotation class Characters(val min: Int = 0, val max: Int = Int.MAX_VALUE)

/** A text is all of the expression, which stands between ^ and $. */
@SerialInfo
@Target(AnnotationTarget.PROPERTY)
annotation class Matches(val pattern: String)

/** A list has that many items. */
@SerialInfo
@Target(AnnotationTarget.PROPERTY)
annotation class Items(val min: Int = 0, val max: Int = Int.MAX_VALUE)

/** A list stands for so many values, each of which has its meaning. */
@SerialInfo
@Target(AnnotationTarget.PROPERTY)
annotation class Tuple(val size: Int)
