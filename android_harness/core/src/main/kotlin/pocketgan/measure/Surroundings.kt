package pocketgan.measure

import pocketgan.schema.AppBuild
import pocketgan.schema.Conditions
import pocketgan.schema.DeviceInfo
import pocketgan.schema.Memory

/** The device around a measurement. */
interface Surroundings {
    val info: DeviceInfo

    /** How what measures was built. */
    val appBuild: AppBuild

    /** Its state now; `at_ns` is of the same clock as the frames. */
    fun conditions(): Conditions

    fun sleep(seconds: Double)
}

/** Memory is a pass of its own, in a process of its own, so that what else is loaded does not count. */
fun interface MemoryPass {
    /**
     * Peak memory of the runtime, and with the model loaded and run; null where it cannot be known.
     *
     * @throws RefusedException the model kills the process that runs it; it must not be loaded into this one.
     */
    fun measure(work: Work): Memory?
}

/** Lets another thread end a measurement between two frames. */
class Cancellation {
    @Volatile
    private var asked = false

    fun cancel() {
        asked = true
    }

    /** @throws CancelledException it was asked for. */
    internal fun check() {
        if (asked) throw CancelledException()
    }
}

/** The measurement was ended from outside. */
class CancelledException : Exception("cancelled")
