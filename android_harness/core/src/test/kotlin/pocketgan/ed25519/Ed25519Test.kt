package pocketgan.ed25519

import java.math.BigInteger
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertTrue

/** The vectors of RFC 8032, section 7.1: TEST 1, 2, 3 and SHA(abc). */
class Ed25519Test {
    private class Vector(val key: ByteArray, val message: ByteArray, val signature: ByteArray)

    private val vectors =
        listOf(
            Vector(
                bytes("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"),
                bytes(""),
                bytes(
                    "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555" +
                        "fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
                ),
            ),
            Vector(
                bytes("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"),
                bytes("72"),
                bytes(
                    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da0" +
                        "85ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
                ),
            ),
            Vector(
                bytes("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025"),
                bytes("af82"),
                bytes(
                    "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac1" +
                        "8ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
                ),
            ),
            Vector(
                bytes("ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf"),
                bytes(
                    "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2" +
                        "192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
                ),
                bytes(
                    "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b5890" +
                        "9351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
                ),
            ),
        )

    @Test
    fun `signatures of the RFC are valid`() {
        for (vector in vectors) assertTrue(Ed25519.verify(vector.key, vector.message, vector.signature))
    }

    @Test
    fun `a flipped bit anywhere makes a signature invalid`() {
        val vector = vectors[2]
        for (bit in 0 until 8 * SIGNATURE_BYTES step 37) {
            assertFalse(Ed25519.verify(vector.key, vector.message, flipped(vector.signature, bit)), "bit $bit")
        }
        for (bit in 0 until 8 * PUBLIC_KEY_BYTES step 37) {
            val key = flipped(vector.key, bit)
            assertFalse(Ed25519.verify(key, vector.message, vector.signature), "bit $bit of the key")
        }
        assertFalse(Ed25519.verify(vector.key, vector.message + 0, vector.signature))
    }

    @Test
    fun `S above the order of the group is refused though the equation holds`() {
        val vector = vectors[0]
        val order = BigInteger.valueOf(2).pow(252) + BigInteger("27742317777372353535851937790883648493")
        val s = BigInteger(1, vector.signature.copyOfRange(32, 64).reversedArray()) + order
        val longer = vector.signature.copyOf(32) + s.toByteArray().reversedArray().copyOf(32)
        assertEquals(SIGNATURE_BYTES, longer.size)
        assertFalse(Ed25519.verify(vector.key, vector.message, longer))
    }

    @Test
    fun `keys of low order are weak and others are not`() {
        val weak =
            listOf("00".repeat(32), "00".repeat(31) + "80", "01" + "00".repeat(31), "ec" + "ff".repeat(30) + "7f")
        for (key in weak) assertTrue(Ed25519.isWeak(bytes(key)), key)
        for (vector in vectors) assertFalse(Ed25519.isWeak(vector.key))
    }

    @Test
    fun `bytes of another length are no signature`() {
        val vector = vectors[0]
        assertFalse(Ed25519.verify(vector.key, vector.message, vector.signature.copyOf(63)))
        assertFalse(Ed25519.verify(vector.key.copyOf(31), vector.message, vector.signature))
        assertFalse(Ed25519.verify(ByteArray(0), vector.message, ByteArray(0)))
    }

    private fun flipped(bytes: ByteArray, bit: Int) =
        bytes.copyOf().also { it[bit / 8] = (it[bit / 8].toInt() xor (1 shl bit % 8)).toByte() }

    private fun bytes(hex: String) = ByteArray(hex.length / 2) { hex.substring(2 * it, 2 * it + 2).toInt(16).toByte() }
}
