package pocketgan.ed25519

import java.math.BigInteger
import java.security.MessageDigest

const val PUBLIC_KEY_BYTES = 32
const val SIGNATURE_BYTES = 64

/**
 * Verifies Ed25519 signatures (RFC 8032, section 5.1.7): Android's own provider has them from API 33 on.
 *
 * Judges as OpenSSL does, and so as Python's `cryptography`: S has to be below the group's order, the equation is
 * checked without the cofactor, and R is compared as bytes, so that it has one form only. Only public values are
 * worked on, so nothing has to take the same time.
 */
object Ed25519 {
    private val TWO = BigInteger.valueOf(2)
    private val FIELD = TWO.pow(255) - BigInteger.valueOf(19)
    private val ORDER = TWO.pow(252) + BigInteger("27742317777372353535851937790883648493")
    private val D = BigInteger.valueOf(-121665) * BigInteger.valueOf(121666).modInverse(FIELD) % FIELD + FIELD
    private val D_TWICE = D * TWO % FIELD
    private val ROOT_OF_MINUS_ONE = TWO.modPow((FIELD - BigInteger.ONE) / BigInteger.valueOf(4), FIELD)
    private val TOP_BIT = BigInteger.ONE.shiftLeft(255)

    private val NEUTRAL = Point(BigInteger.ZERO, BigInteger.ONE, BigInteger.ONE, BigInteger.ZERO)
    private val BASE = run {
        val y = BigInteger.valueOf(4) * BigInteger.valueOf(5).modInverse(FIELD) % FIELD
        point(xOf(y, odd = false)!!, y)
    }

    /** y of the points whose order divides 8; the last two solve 2y^2 = 1 - dy^4. */
    private val WEAK_Y = run {
        val ofOrder8 = BigInteger("05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826", 16)
        setOf(BigInteger.ZERO, BigInteger.ONE, FIELD - BigInteger.ONE, ofOrder8, FIELD - ofOrder8)
    }

    /** Whether [publicKey] (32 bytes) is a point of low order: under such a key everybody can sign. */
    fun isWeak(publicKey: ByteArray): Boolean = littleEndian(publicKey).clearBit(255) % FIELD in WEAK_Y

    /**
     * Whether [signature] (64 bytes) is [publicKey]'s (32 bytes) of [message]; false for bytes that are no signature or
     * no key, of whatever length. A weak key passes here: see [isWeak].
     */
    fun verify(publicKey: ByteArray, message: ByteArray, signature: ByteArray): Boolean {
        if (publicKey.size != PUBLIC_KEY_BYTES || signature.size != SIGNATURE_BYTES) return false
        val r = signature.copyOfRange(0, 32)
        val s = littleEndian(signature.copyOfRange(32, 64))
        if (s >= ORDER) return false
        val key = decode(publicKey) ?: return false
        val hash = MessageDigest.getInstance("SHA-512")
        hash.update(r)
        hash.update(publicKey)
        val k = littleEndian(hash.digest(message)) % ORDER
        return encode(combine(s, BASE, k, key.negated())).contentEquals(r)
    }

    /** Extended coordinates (RFC 8032, section 5.1.4): x = X/Z, y = Y/Z, T = XY/Z. */
    private class Point(val x: BigInteger, val y: BigInteger, val z: BigInteger, val t: BigInteger) {
        operator fun plus(other: Point): Point {
            val a = (y - x) * (other.y - other.x) % FIELD
            val b = (y + x) * (other.y + other.x) % FIELD
            val c = t * D_TWICE % FIELD * other.t % FIELD
            val d = z.shiftLeft(1) * other.z % FIELD
            return of(b - a, d + c, d - c, b + a)
        }

        fun doubled(): Point {
            val a = x * x % FIELD
            val b = y * y % FIELD
            val c = (z * z).shiftLeft(1) % FIELD
            val h = a + b
            val xy = x + y
            val e = h - xy * xy % FIELD
            val g = a - b
            return of(e, g, c + g, h)
        }

        fun negated() = Point(FIELD - x, y, z, FIELD - t)

        private fun of(e: BigInteger, g: BigInteger, f: BigInteger, h: BigInteger) =
            Point(e * f % FIELD, g * h % FIELD, f * g % FIELD, e * h % FIELD)
    }

    private fun point(x: BigInteger, y: BigInteger) = Point(x, y, BigInteger.ONE, x * y % FIELD)

    /** a·p + b·q, both scalars bit by bit at once (Shamir's trick). */
    private fun combine(a: BigInteger, p: Point, b: BigInteger, q: Point): Point {
        val both = p + q
        var sum = NEUTRAL
        for (bit in maxOf(a.bitLength(), b.bitLength()) - 1 downTo 0) {
            sum = sum.doubled()
            sum = when {
                a.testBit(bit) && b.testBit(bit) -> sum + both
                a.testBit(bit) -> sum + p
                b.testBit(bit) -> sum + q
                else -> sum
            }
        }
        return sum
    }

    /** The point, or null where there is none with that y. As in OpenSSL, y may be written above the field's size. */
    private fun decode(bytes: ByteArray): Point? {
        val value = littleEndian(bytes)
        val y = value.clearBit(255) % FIELD
        return xOf(y, value.testBit(255))?.let { point(it, y) }
    }

    /** RFC 8032, section 5.1.3: the square root of (y^2 - 1) / (dy^2 + 1) with that lowest bit. */
    private fun xOf(y: BigInteger, odd: Boolean): BigInteger? {
        val square = y * y % FIELD
        val xx = (square - BigInteger.ONE) * (D * square + BigInteger.ONE).modInverse(FIELD) % FIELD
        var x = xx.modPow((FIELD + BigInteger.valueOf(3)) / BigInteger.valueOf(8), FIELD)
        if ((x * x - xx).mod(FIELD).signum() != 0) x = x * ROOT_OF_MINUS_ONE % FIELD
        if ((x * x - xx).mod(FIELD).signum() != 0) return null
        return if (x.testBit(0) == odd) x else (FIELD - x) % FIELD
    }

    private fun encode(point: Point): ByteArray {
        val inverse = point.z.modInverse(FIELD)
        val x = (point.x * inverse).mod(FIELD)
        val y = (point.y * inverse).mod(FIELD)
        val value = if (x.testBit(0)) y + TOP_BIT else y
        val bigEndian = value.toByteArray()
        return ByteArray(32) { index -> if (index < bigEndian.size) bigEndian[bigEndian.size - 1 - index] else 0 }
    }

    private fun littleEndian(bytes: ByteArray) = BigInteger(1, bytes.reversedArray())
}
