package pocketgan.measure

import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertNull
import kotlin.test.assertTrue

class EngineAgeTest {
    private fun release(version: String) = Release.of(version)!!

    @Test
    fun `releases are ordered by number, and patches are of one release`() {
        assertTrue(release("1.9.3") < release("1.10.0"))
        assertTrue(release("1.10.0") < release("2.0.0"))
        assertEquals(0, release("1.4.1").compareTo(release("1.4")))
        assertEquals(0, release("1.4.1+cpu").compareTo(release("1.4.0rc2")))
    }

    @Test
    fun `what is no version is none`() {
        for (text in listOf("", "unknown", "1", "v1.4", "1.x")) assertNull(Release.of(text), text)
    }
}
